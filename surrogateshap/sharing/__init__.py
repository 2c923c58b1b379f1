"""Records as they are shared: exported, signed, verified, appended to, and run again."""
