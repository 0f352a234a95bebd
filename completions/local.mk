# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of cabinetctl, below the data directory as both shells look for it.

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %reldir%/bash/cabinetctl
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = %reldir%/zsh/_cabinetctl
