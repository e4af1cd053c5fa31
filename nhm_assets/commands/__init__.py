"""The subcommands of `nhm`."""
