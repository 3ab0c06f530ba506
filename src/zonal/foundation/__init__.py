"""Basics that every other package uses: time, errors, identifiers, keys and certificates, journal entries, files, settings.

Contains no AWS service and no Linux networking, and imports no other package of zonal.
"""
