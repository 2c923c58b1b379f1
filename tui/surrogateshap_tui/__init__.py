"""The terminal UI: plan, live run and ranking. Its door is `surrogateshap_tui.app.run`."""
