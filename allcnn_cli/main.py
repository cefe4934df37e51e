"""The console script `allcnn`: the commands, and what the process says and returns when one fails.

Start-up is part of the product: only typer loads here. Help loads Rich; a command loads Rich, numpy and Keras when it
runs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from allcnn.backend import leave_out_optional_imports
from allcnn.errors import AllcnnError, did_you_mean, one_line
from allcnn.waiting import show_waiting
from allcnn_cli.bench import bench
from allcnn_cli.data import data
from allcnn_cli.eval import evaluate
from allcnn_cli.export import export
from allcnn_cli.options import Command, Group, RayCommand
from allcnn_cli.output import complain
from allcnn_cli.params import params
from allcnn_cli.predict import predict
from allcnn_cli.report import report
from allcnn_cli.sweep import sweep
from allcnn_cli.train import train
from allcnn_cli.visualize import visualize

_NAME = "allcnn"
_INTERRUPTED = 130
# Typer's base class of wrong calls: its versions keep it in different places, but always below this one.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name=_NAME,
    cls=Group,
    help="The All Convolutional Net (Springenberg et al., 2014) in Keras 3.",
    epilog="For example:  allcnn train --model strided-b --dataset digits --recipe fast",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", cls=RayCommand)(train)
app.command("eval", cls=Command)(evaluate)
app.command("predict", cls=Command)(predict)
app.command("params", cls=Command)(params)
app.command("data", cls=Command)(data)
app.command("bench", cls=Command)(bench)
app.command("sweep", cls=RayCommand)(sweep)
app.command("visualize", cls=Command)(visualize)
app.command("report", cls=Command)(report)
app.command("export", cls=Command)(export)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"{_NAME} {version(_NAME)}")
        except PackageNotFoundError:
            print(f"{_NAME} (not installed: running from a folder)")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        # To standard error and with the code of a wrong call: a script that lost its command should notice.
        with redirect_stdout(sys.stderr):  # Rich's help prints itself
            context.get_help()
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code.

    0 done; 1 it failed while running; 2 the call or its input was wrong; 130 interrupted.
    ALLCNN_DEBUG=1 shows the traceback of a failure.
    """
    leave_out_optional_imports()
    show_waiting()
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name=_NAME, standalone_mode=False)
        # A reader that went away (`| head`) shows when the last lines are written, not while they are collected.
        sys.stdout.flush()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except BaseException as error:
        return _fail(error)
    # Newer versions of Typer turn an interrupt into this code by themselves, older ones into an Abort.
    if code == _INTERRUPTED:
        complain("interrupted.")
    return code if isinstance(code, int) else 0


def _fail(error: BaseException) -> int:
    """Say in a line or two what went wrong; gives the exit code."""
    if isinstance(error, BrokenPipeError):
        # Nobody reads any more. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if os.environ.get("ALLCNN_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if isinstance(error, AllcnnError):
        complain(str(error) if error.exit_code == _INTERRUPTED else f"error: {error}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        complain("interrupted.")
        return _INTERRUPTED
    if isinstance(error, _UsageError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else _NAME
        message = one_line(error.format_message())[:300]
        if near := getattr(error, "possibilities", None):  # of an option; Typer's versions say it in other words
            message = f"No such option: {error.option_name}.{did_you_mean(near)}"
        elif context and (extra := re.search(r"extra argument\S* \((\S+)\)", message)):
            from allcnn.specs import ZOO

            options = [
                parameter.opts[0] for parameter in context.command.params if parameter.name in ("model", "models")
            ]
            message += f". Did you mean {options[0]} {extra[1]}?" if options and extra[1] in ZOO else ""
        complain(f"error: {message}\nTry: {command} --help")
        return 2
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        complain(f"error: {where}{error.strerror}.")
        return 1
    complain(f"unexpected {type(error).__name__}: {one_line(error)[:300]}")
    complain("ALLCNN_DEBUG=1 shows where it happened.")
    return 1
