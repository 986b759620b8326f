"""What every room uses: errors, files, configurations and their hash, the machine, downloads."""
