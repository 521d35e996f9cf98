"""`postwren config`: look at the configuration."""

import msgspec
import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, print_json
from postwren.config.example import example
from postwren.config.schema import Config

app = typer.Typer(help="Check the configuration, or print an example.", no_args_is_help=True)


@app.command("check")
def check(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Judge the configuration as the server would, and show what differs from the defaults."""
    from postwren.app.settings import judge_config  # it loads the whole server, which other commands do without

    place = Place.find(data, config)
    judge_config(place.config)
    defaults = msgspec.to_builtins(Config())
    values = msgspec.to_builtins(place.config)
    if as_json:
        print_json(values)
        return
    print(f"data folder: {place.data}")
    for section, content in values.items():
        pairs = content.items() if isinstance(content, dict) else [(None, content)]
        for option, value in pairs:
            default = defaults[section][option] if option else defaults[section]
            if value != default:
                print(f"{section}.{option}" if option else section, "=", value)
    print("ok")


@app.command("example")
def example_() -> None:
    """Print a configuration file with every option at its default."""
    print(example(), end="")
