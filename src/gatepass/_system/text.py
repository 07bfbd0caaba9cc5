"""Foreign text on its way to a terminal or into a shell: shown as escapes, and quoted."""

import sys


def printable(text: str) -> str:
    """Return a foreign text with control characters escaped, so that it cannot steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def quoted(*words: str) -> str:
    """Write words, such as a command or a path, so that a shell reads back exactly these.

    A folder may be called ``; rm -r ~``. A word that holds control characters is written in the
    form ``$'...'`` of POSIX 2024 (bash, zsh, ksh), since a message shows no such character.
    """
    if sys.platform == "win32":
        from subprocess import list2cmdline

        return list2cmdline(words)
    from shlex import quote

    return " ".join(quote(word) if word.isprintable() else _escaped(word) for word in words)


def operands(*words: str) -> tuple[str, ...]:
    """Return the last words of a command, behind ``--`` where one looks like an option."""
    return ("--", *words) if any(word.startswith("-") for word in words) else words


def _escaped(word: str) -> str:
    shown = (
        character
        if character.isprintable() and character not in "\\'"
        else "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in word
    )
    return f"$'{''.join(shown)}'"
