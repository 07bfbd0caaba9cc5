"""The practice server: one file for each way to log on."""
