"""Words into a call: Docker's option grammar, applied to a verb's own parameters.

`--opt value`, `--opt=value`, `-o value`, `-ovalue`, `-o=value`, flags joined as in `-it`, `--flag=false`, repeated
options as lists, `--` for the end of options. Where a command follows an argument (`run IMAGE COMMAND…`), options end
at that argument. References: getopt(3); Docker's command line reference, "Option types".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

from nbcontainers.cli import docker
from nbcontainers.cli.signature import ARGUMENT, FLAG, LIST, MAPPING, REST, Parameter
from nbcontainers.errors import InvalidArgument

_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")
HELP = Parameter("help", FLAG, ("--help", "-h"), help="Show this help")


@dataclass
class Call:
    """What a line asked for: arguments, options by parameter name, the face's own options, or help."""

    arguments: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    face: dict[str, Any] = field(default_factory=dict)
    help: bool = False


class Parser:
    """Parses the words after a verb. `name` is how the verb was typed (`%container run`), for the messages.

    `face` are parameters of the front end itself (`-o NAME` of a cell); where a flag is also the verb's, it is the
    verb's.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter], face: Sequence[Parameter] = ()) -> None:
        self.name = name
        self.parameters = list(parameters)
        self.face = without_flags_of(face, parameters)
        self.flags = flags_of([*self.parameters, *self.face, *without_flags_of([HELP], parameters)])

    @property
    def arguments(self) -> list[Parameter]:
        return [one for one in self.parameters if one.kind == ARGUMENT]

    @property
    def rest(self) -> Parameter | None:
        return next((one for one in self.parameters if one.kind == REST), None)

    @property
    def options_end_early(self) -> bool:
        """Whether all words after the first argument belong to the command (POSIX order, as in `run`)."""
        return bool(self.arguments and self.rest)

    def parse(self, words: Sequence[str]) -> Call:
        """The call a line means. InvalidArgument says what is wrong and what to type."""
        call, left, positional = Call(), list(words), []
        while left:
            word = left.pop(0)
            if word == "--":
                positional += left
                break
            if word.startswith("-") and word != "-":
                self._option(call, word, left)
            else:
                positional.append(word)
                if self.options_end_early:
                    positional += left
                    break
            if call.help:
                return call
        call.arguments = self._place(positional)
        return call

    def slot(self, words: Sequence[str]) -> tuple[Parameter | None, bool]:
        """What the word after `words` would be, and whether an option may stand there instead; for completion."""
        left, count, options = list(words), 0, True
        while left:
            word = left.pop(0)
            if options and word == "--":
                options = False
            elif options and word.startswith("-") and word != "-":
                parameter = self.waiting(word)
                if parameter and not left:
                    return parameter, False
                del left[: bool(parameter)]
            else:
                count += 1
                options = options and not self.options_end_early
        arguments = self.arguments
        return arguments[count] if count < len(arguments) else self.rest, options

    def waiting(self, word: str) -> Parameter | None:
        """The option of `word` (`--memory`, `-itm`) whose value is the next word."""
        if word.startswith("--"):
            parameter = self.flags.get(word)
            return parameter if parameter and parameter.kind != FLAG else None
        for at, letter in enumerate(word[1:], 2):
            parameter = self.flags.get(f"-{letter}")
            if parameter and parameter.kind != FLAG:
                return parameter if at == len(word) else None
        return None

    def _option(self, call: Call, word: str, left: list[str]) -> None:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            self._take(call, self._known(flag, word), flag, value if equals else None, left)
            return
        letters = word[1:]
        while letters:
            flag, letters = f"-{letters[0]}", letters[1:]
            parameter = self._known(flag, word)
            if parameter.kind == FLAG and not letters.startswith("="):
                self._take(call, parameter, flag, None, left)
            else:
                self._take(call, parameter, flag, letters.removeprefix("=") if letters else None, left)
                return

    def _known(self, flag: str, word: str) -> Parameter:
        if parameter := self.flags.get(flag):
            return parameter
        longs = [one for one in self.flags if one.startswith("--")]
        meant = word.partition("=")[0]
        close = get_close_matches(f"--{meant.lstrip('-')}", longs, 1, 0.6)
        guess = f"did you mean {close[0]}? " if close else ""
        shown = flag if flag == meant else f"{flag} (in {word})"
        if later := docker.missing(flag, self.name.rpartition(" ")[2]):
            return self._refuse(f"{self.name} has no option {shown}", later)
        return self._refuse(f"{self.name} has no option {shown}", f"{guess}type {self.name} --help")

    def _take(self, call: Call, parameter: Parameter, flag: str, value: str | None, left: list[str]) -> None:
        if parameter.name == "help" and flag in HELP.flags:
            call.help = True
            return
        where = call.face if parameter in self.face else call.options
        if parameter.kind == FLAG:
            where[parameter.name] = self._truth(flag, value) is not (flag in parameter.off)
            return
        if value is None:
            if not left and flag == "-h":  # of run a host name, but alone nobody means one
                call.help = True
                return
            if not left:
                self._refuse(f"{flag} needs a value", f"type {flag} {parameter.metavar}")
            value = left.pop(0)
        converted = self._convert(parameter, flag, value)
        if parameter.kind == LIST:
            where.setdefault(parameter.name, []).append(converted)
        elif parameter.kind == MAPPING:
            key, _, text = value.partition("=")
            where.setdefault(parameter.name, {})[key] = text
        else:
            where[parameter.name] = converted

    def _truth(self, flag: str, value: str | None) -> bool:
        if value is None or value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        return self._refuse(f"{flag} is on or off, not {value!r}", f"type {flag} or {flag}=false")

    def _convert(self, parameter: Parameter, flag: str, value: str) -> Any:
        if parameter.choices and value not in parameter.choices:
            close = get_close_matches(value, parameter.choices, 1)
            guess = f"did you mean {close[0]}? " if close else ""
            choices = ", ".join(parameter.choices)
            self._refuse(f"{flag} knows no {value!r}", f"{guess}type {flag} with one of {choices}")
        try:
            return parameter.convert(value)
        except ValueError as error:
            kinds: dict[Any, str] = {int: "a whole number", float: "a number"}
            kind = kinds.get(parameter.convert)
            problem, _, advice = str(error).rpartition("; ") if not kind else (f"{value!r} is not {kind}", "", "")
            return self._refuse(
                f"{parameter.long}: {problem or advice}", advice if problem and advice else self._form(parameter)
            )

    def _form(self, parameter: Parameter) -> str:
        return f"type {parameter.long} {parameter.metavar}; {self.name} --help explains it"

    def _place(self, words: list[str]) -> list[Any]:
        """Words to arguments: those required, those optional, the rest."""
        slots, placed = self.arguments, []
        for slot, word in zip(slots, words, strict=False):
            placed.append(slot.convert(word))
        missing = [slot for slot in slots[len(words) :] if slot.required]
        if missing:
            self._refuse(f"{self.name} needs {_a(missing[0].metavar)}", f"type {usage(self.name, self.parameters)}")
        extra = words[len(slots) :]
        if extra and not self.rest:
            takes = "no argument" if not slots else f"only {' '.join(slot.metavar for slot in slots)}"
            self._refuse(f"{self.name} takes {takes}, not {extra[0]!r}", f"type {usage(self.name, self.parameters)}")
        return placed + [self.rest.convert(word) for word in extra] if self.rest else placed

    def _refuse(self, message: str, hint: str) -> NoReturn:
        raise InvalidArgument(message, hint=hint)


def usage(name: str, parameters: Sequence[Parameter]) -> str:
    """The one line that says how a verb is typed: `%container run [OPTIONS] IMAGE [COMMAND...]`."""
    words = [name] + ["[OPTIONS]"] * any(not one.positional for one in parameters)
    for one in parameters:
        if one.kind == ARGUMENT:
            words.append(one.metavar if one.required else f"[{one.metavar}]")
        elif one.kind == REST:
            words.append(f"[{one.metavar}...]")
    return " ".join(words)


def flags_of(parameters: Sequence[Parameter]) -> dict[str, Parameter]:
    return {flag: one for one in parameters for flag in (*one.flags, *one.off)}


def without_flags_of(ours: Sequence[Parameter], theirs: Sequence[Parameter]) -> list[Parameter]:
    """`ours` without the flags that `theirs` have too, and without those left with none."""
    taken = flags_of(theirs)
    cut = [Parameter(**{**vars(one), "flags": tuple(f for f in one.flags if f not in taken)}) for one in ours]
    return [one for one in cut if one.flags or one.off]


def _a(metavar: str) -> str:
    return f"{'an' if metavar[:1] in 'AEIO' else 'a'} {metavar}"
