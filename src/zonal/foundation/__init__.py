"""What every part stands on: time, errors, identifiers, keys and certificates, the journal's entries, files, settings.

Knows nothing of AWS's services nor of Linux, and imports nothing of zonal from outside this package.
"""
