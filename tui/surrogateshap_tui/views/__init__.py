"""What the tabs hold: plan, run, ranking. Each has one `show` method and is mutated by the app's handlers alone."""
