"""TOML to Spec: strict, frozen pydantic models; every problem at once, with file, line, key and remedy."""
