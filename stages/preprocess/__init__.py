"""Pictures to model inputs."""
