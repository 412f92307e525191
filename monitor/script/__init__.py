"""The shell script that mends what tuning rules find: text in, text out; nothing of it is run here."""
