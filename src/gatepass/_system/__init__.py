"""Terminal, files, processes and plug-ins; knows nothing of logins."""
