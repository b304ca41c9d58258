"""Statistics on arrays: functions that take arrays and return arrays, and know nothing of models or studies."""
