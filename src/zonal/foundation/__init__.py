"""What every part stands on: time, errors, identifiers, the journal's entries, settings.

Knows nothing of AWS's services nor of Linux, and imports nothing of zonal from outside this package.
"""
