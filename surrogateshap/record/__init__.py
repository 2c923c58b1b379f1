"""Results and their record: what was asked, from what, with what outcome, and how far it can be believed."""
