"""EMQX's access rules, as far as packaging/broker uses them: read by Erlang, as EMQX reads them, and decided as its
modules emqx_authz_rule and emqx_topic do. EMQX itself takes no part."""

import json
import os
import re
import subprocess
from pathlib import Path

from kiosk import PATIENCE

# Terms become JSON: tuples are lists, and atoms are strings with a colon before them.
READ = """
    [File] = init:get_plain_arguments(),
    {ok, Terms} = file:consult(File),
    Json = fun
        Json(Term) when is_tuple(Term) -> Json(tuple_to_list(Term));
        Json(Term) when is_atom(Term) -> io_lib:format("\\":~s\\"", [Term]);
        Json(Term) when is_list(Term) ->
            case Term =/= [] andalso io_lib:printable_list(Term) of
                true -> [$", Term, $"];
                false -> [$[, lists:join($,, [Json(One) || One <- Term]), $]]
            end
    end,
    io:format("~s~n", [Json(Terms)]),
    halt().
"""


def consult(path: Path) -> list[list]:
    """The file's terms, if Erlang takes them for such."""
    command = ["erl", "-noshell", "-eval", READ, "-extra", path]
    env = {**os.environ, "ERL_CRASH_DUMP_BYTES": "0"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def fits(name: str, rule: str) -> bool:
    """Whether a topic is one of the rule's. The filter of a subscription is asked for as if it were a topic."""
    names, rules = name.split("/"), rule.split("/")
    if names[0].startswith("$") and rules[0] in ("+", "#"):
        return False
    for place, word in enumerate(rules):
        if word == "#":
            return True
        if place == len(names) or word not in ("+", names[place]):
            return False
    return len(names) == len(rules)


def is_user(who: str | list, user: str) -> bool:
    if who == ":all":
        return True
    kind, name = who
    assert kind == ":user", who
    if isinstance(name, list):
        assert name[0] == ":re", who
        return re.search(name[1], user) is not None
    return name == user


def fed(topic: str, user: str) -> str | None:
    """With the name in its place; since EMQX 6.3 not with one that has wildcards."""
    if "${username}" not in topic:
        return topic
    return None if set(user) & set("+#") else topic.replace("${username}", user)


def may(rules: list[list], user: str, action: str, topic: str) -> bool:
    """Whether a user may `publish` or `subscribe`: the first rule that fits decides."""
    for permission, who, *more in rules:
        actions, topics = more or (":all", ["#"])
        assert permission in (":allow", ":deny") and actions in (":all", ":publish", ":subscribe")
        of_rule = [fed(one, user) for one in topics]
        if actions in (":all", f":{action}") and is_user(who, user) and any(one and fits(topic, one) for one in of_rule):
            return permission == ":allow"
    # As the documentation has it set: authorization.no_match. `#` is not for topics that begin with `$`.
    return False
