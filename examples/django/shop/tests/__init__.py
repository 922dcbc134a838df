"""The shop's own tests, and those of whisperer_django on its models."""
