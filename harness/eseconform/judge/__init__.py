"""The judge: reads what was recorded, never takes part. One module for each of the four axes."""
