"""Real-time video inference that answers every frame by its deadline."""
