"""`omnilive`: the command line's first moment. `serve` heeds signals before anything heavy is imported."""

import sys

from server.stopping import reloader, stopper


def main() -> None:
    """Run a command and exit with its code."""
    arguments = sys.argv[1:]
    serving = arguments[:1] == ["serve"]
    if serving:
        stopper.install()
        reloader.install()
    from clients.cli.commands import run

    code = run(arguments)
    if serving:
        stopper.finish()
        reloader.finish()
    sys.exit(code)


if __name__ == "__main__":
    main()
