# SPDX-License-Identifier: GPL-2.0-or-later
# What unit tests and fuzz targets share: in-memory transport, fake clock.
