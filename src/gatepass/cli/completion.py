"""``gatepass completion``: the script by which a shell completes verbs, options and names."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import verb

_VARIABLE: Final = "_GATEPASS_COMPLETE"
_WHERE: Final = {
    "bash": 'eval "$(gatepass completion bash)"    # in ~/.bashrc',
    "zsh": 'eval "$(gatepass completion zsh)"    # in ~/.zshrc, after compinit',
    "fish": "gatepass completion fish | source    # in ~/.config/fish/config.fish",
    "powershell": "gatepass completion powershell | Out-String | Invoke-Expression  # in $PROFILE",
}
# PowerShell asks by the form that click has for fish: kind, comma and value on each line.
_POWERSHELL: Final = """\
Register-ArgumentCompleter -Native -CommandName gatepass -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $env:COMP_WORDS = $commandAst.ToString()
    $env:COMP_CWORD = $wordToComplete
    $env:_GATEPASS_COMPLETE = 'fish_complete'
    try { $lines = @(gatepass) }
    finally { Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:_GATEPASS_COMPLETE }
    foreach ($line in $lines) {
        $kind, $rest = $line.Split(',', 2)
        if ($kind -ne 'plain') { continue }
        $value = $rest.Split("`t")[0]
        $result = 'System.Management.Automation.CompletionResult'
        New-Object $result $value, $value, 'ParameterValue', $value
    }
}"""


@verb(*_WHERE.values(), short_help="Print the script that completes words at TAB.")
@click.argument("shell", type=click.Choice(list(_WHERE)))
def completion(_context: Context, shell: str) -> None:
    """Print the script by which a SHELL completes verbs, options and the names of profiles."""
    if shell == "powershell":
        _output.data(_POWERSHELL)
        return
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    program = click.get_current_context().find_root().command
    _output.script(kind(program, {}, "gatepass", _VARIABLE).source())
