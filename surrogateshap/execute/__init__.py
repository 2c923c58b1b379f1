"""Plan to artifacts: generate, encode, evaluate, fit, record. Resumes what is there; tells its watchers by events."""
