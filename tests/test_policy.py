from datetime import date
from pathlib import Path

import pytest

from moderation import Effect, PolicyError, load_policy
from moderation.normalise import fold
from moderation.policy import DEFAULT_LOOKS, EncoderLooks, read_terms
from moderation.rules import apply_rules, check_examples, disagreeing_examples

TERMS = "# toy words\nnitwit{,s}\t3\n!nitwitville\n"
GOOD = r"""
[policy]
name = "toy"
version = "1"
title = "A toy"

[thresholds]
unflagged = 0.8
referred = 0.5

[list]
victim = ["you", "them"]

[[guideline]]
id = "threat"
title = "No threats"
text = "Threats are not tolerated."

[[guideline]]
id = "abuse"
title = "No abuse"
text = "Abuse is not tolerated."
kinds = ["racism"]

[[rule]]
id = "threat.kill"
guideline = "threat"
effect = "reject"
statement = "States an intent to kill."
reason = "It threatens someone."
known_problems = "Lyrics."
fires_on = ['\bi will kill {{victim}}\b']
unless = ['\bkill \w+ with kindness\b']
violates = ["I will kill you", "i will kill them", "So I will kill you."]
allowed = ["this queue will kill me", "I will kill them with kindness"]

[[rule]]
id = "abuse.words"
guideline = "abuse"
kind = "racism"
effect = "refer"
statement = "Uses a toy slur."
reason = "It insults a group."
known_problems = "The town of Nitwitville."
terms = "words.txt"
violates = ["nitwit", "nitwits", "a nitwit"]
allowed = ["Nitwitville", "wit"]

[[rule]]
id = "threat.old"
guideline = "threat"
statement = "Was about something else."
retired = 2026-02-03
"""
KILL_PATTERN = r"'\bi will kill {{victim}}\b'"
RULE_KEYS = (
    "id, guideline, kind, effect, statement, reason, known_problems, view, fires_on, terms, min_strength, "
    "max_strength, finds, at_least, unless, violates, allowed, retired"
)


def written(folder: Path, text: str = GOOD, terms: str = TERMS) -> Path:
    (folder / "words.txt").write_text(terms, encoding="utf-8")
    file = folder / "toy.toml"
    file.write_text(text, encoding="utf-8")
    return file


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def refusal(file: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    assert message.startswith(caught.value.where)
    return message.removeprefix(f"{file}: ")


def test_a_good_policy_is_read_as_written(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path))
    assert policy.identity == f"toy-1+{policy.hash}"
    assert len(policy.hash) == 12
    assert [guideline.id for guideline in policy.guidelines] == ["threat", "abuse"]
    assert [(rule.id, rule.effect, rule.view) for rule in policy.rules] == [
        ("threat.kill", Effect.REJECT, "skeleton"),
        ("abuse.words", Effect.REFER, "skeleton"),
    ]
    assert policy.rules[0].fires_on == (r"\bi will kill (?:you|them)\b",)
    assert policy.thresholds == {"unflagged": 0.8, "referred": 0.5}
    assert disagreeing_examples(policy) == []
    check_examples(policy)


@pytest.mark.parametrize(
    ("table", "looks"),
    [
        ("", DEFAULT_LOOKS),
        ("[encoder]", DEFAULT_LOOKS),
        ("[encoder]\nuse = true", DEFAULT_LOOKS),
        ("[encoder]\nunflagged = 0.2", EncoderLooks(0.2, DEFAULT_LOOKS.referred)),
        ("[encoder]\nunflagged = 1", EncoderLooks(1.0, DEFAULT_LOOKS.referred)),
        ("[encoder]\nunflagged = 0", EncoderLooks(0.0, 0.0)),
        ("[encoder]\nreferred = 0.1", EncoderLooks(DEFAULT_LOOKS.unflagged, 0.1)),
        ("[encoder]\nuse = false", None),
        ("[encoder]\nuse = false\nunflagged = 0.2", None),
    ],
)
def test_where_the_encoder_looks(tmp_path: Path, table: str, looks: EncoderLooks | None) -> None:
    assert load_policy(written(tmp_path, changed("[list]", f"{table}\n[list]"))).encoder == looks


def test_unusable_doubt_is_refused_where_the_encoder_is_not_used(tmp_path: Path) -> None:
    text = changed("[list]", "[encoder]\nuse = false\nunflagged = 3\n[list]")
    assert refusal(written(tmp_path, text)).startswith("encoder: unflagged: ")


# Golden messages: the whole line after the file's name, each with rule, key and remedy.
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # keys
        (
            "[policy]",
            "[polices]\n[policy]",
            "polices: unknown key; "
            "valid keys are policy, thresholds, encoder, adapters, guideline, list, excuses, rule",
        ),
        ("title = ", "titel = ", "policy: titel: unknown key; valid keys are name, version, title"),
        (
            "referred = 0.5",
            "refered = 0.5",
            "thresholds: refered: unknown key; valid keys are unflagged, referred",
        ),
        (
            'title = "No threats"',
            'titles = "No threats"',
            "guideline threat: titles: unknown key; valid keys are id, title, text, kinds",
        ),
        (
            "fires_on =",
            "fire_on =",
            f"rule threat.kill: fire_on: unknown key; valid keys are {RULE_KEYS}",
        ),
        # parts that are not there
        ("[policy]\n", "[policy]\n#", "policy: name: missing or not a text; write it between quotes"),
        ('version = "1"', "version = 1", "policy: version: missing or not a text; write it between quotes"),
        (
            'text = "Threats are not tolerated."',
            'text = "  "',  # a blank sentence tells a reader nothing
            "guideline threat: text: missing or not a text; write it between quotes",
        ),
        (
            'statement = "States an intent to kill."\n',
            "",
            "rule threat.kill: statement: missing or not a text; write it between quotes",
        ),
        (
            'reason = "It threatens someone."\n',
            "",
            "rule threat.kill: reason: missing or not a text; write it between quotes",
        ),
        (
            'known_problems = "Lyrics."\n',
            "",
            "rule threat.kill: known_problems: missing or not a text; write it between quotes",
        ),
        (
            f"fires_on = [{KILL_PATTERN}]\n",
            "",
            "rule threat.kill: fires_on: missing; state patterns in `fires_on`, a file in `terms` or `finds`",
        ),
        # ids
        (
            'id = "abuse.words"',
            'id = "threat.kill"',
            "rule threat.kill: id: used twice; ids are never reused, choose another",
        ),
        (
            'id = "threat.old"',
            'id = "threat.kill"',  # an id stays taken after its rule is retired
            "rule threat.kill: id: used twice; ids are never reused, choose another",
        ),
        *(
            (
                'id = "threat.kill"',
                f'id = "{bad}"',
                f"rule {bad}: id: must read <topic>.<what-is-seen>, such as threat.stated-intent",
            )
            for bad in ("kill", "threat.", ".kill", "Threat.kill", "threat.a.b", "threat.kill you", "threat.töten")
        ),
        (
            'id = "threat"',
            'id = "menace"',
            "guideline menace: unknown id; valid ids are "
            "profanity, vulgarity, threat, personal_attack, abuse, promotion",
        ),
        (
            'guideline = "threat"',
            'guideline = "vulgarity"',  # known, but this policy does not publish it
            "rule threat.kill: guideline: 'vulgarity' is not published; published are threat, abuse",
        ),
        # values out of a fixed choice
        (
            'effect = "reject"',
            'effect = "approve"',  # no rule approves
            "rule threat.kill: effect: must be one of reject, refer",
        ),
        (
            'effect = "reject"',
            'effect = "score"',  # belongs to the classifier
            "rule threat.kill: effect: must be one of reject, refer",
        ),
        (
            'effect = "reject"',
            'effect = "reject"\nview = "raw"',
            "rule threat.kill: view: must be one of plain, folded, skeleton",
        ),
        (
            'effect = "reject"',
            'effect = "reject"\nfinds = "email"',
            "rule threat.kill: finds: must be one of phone, repeated-link",
        ),
        (
            'kind = "racism"',
            'kind = "sexism"',
            "rule abuse.words: kind: 'sexism' is not a kind of abuse; its kinds: racism",
        ),
        (
            'effect = "reject"',
            'effect = "reject"\nkind = "racism"',
            "rule threat.kill: kind: 'racism' is not a kind of threat; its kinds: none",
        ),
        # numbers
        *(
            (
                'terms = "words.txt"',
                f'terms = "words.txt"\n{key} = {value}',
                f"rule abuse.words: {key}: must be a whole number from 1 to {high}",
            )
            for key, value, high in (
                ("min_strength", "0", 4),
                ("min_strength", "true", 4),  # a bool is an int in Python, not in a policy
                ("max_strength", "5", 4),
                ("max_strength", '"4"', 4),
                ("at_least", "0", 1000),
                ("at_least", "1.5", 1000),
                ("at_least", "1001", 1000),
            )
        ),
        *(
            (f"unflagged = {0.8}", f"unflagged = {value}", "thresholds: unflagged: must be a probability from 0 to 1")
            for value in ("1.01", "-0.1", "80", "true", '"0.8"', "nan", "inf")
        ),
        ("unflagged = 0.8\n", "", "thresholds: unflagged: must be a probability from 0 to 1"),
        ("referred = 0.5\n", "", "thresholds: referred: must be a probability from 0 to 1"),
        (
            "referred = 0.5",
            "referred = 0.81",
            "thresholds: referred: must not be above `unflagged`: a referred comment has the lower bar",
        ),
        # the encoder
        (
            "[list]",
            "[encoder]\nuses = true\n[list]",
            "encoder: uses: unknown key; valid keys are use, unflagged, referred",
        ),
        *(
            ("[list]", f"[encoder]\nuse = {value}\n[list]", "encoder: use: must be true or false")
            for value in ("1", '"false"', "[]")
        ),
        *(
            ("[list]", f"[encoder]\n{key} = {value}\n[list]", f"encoder: {key}: must be a probability from 0 to 1")
            for key, values in (
                ("unflagged", ("1.01", "-0.1", "true", '"0.3"', "nan", "[0.3, 0.98]")),
                ("referred", ("1.01", '["threat"]')),
            )
            for value in values
        ),
        (
            "[list]",
            "[encoder]\nreferred = 0.5\n[list]",
            "encoder: referred: must not be above `unflagged`: at a referred comment the encoder looks sooner",
        ),
        # patterns and lists
        *(
            (
                KILL_PATTERN,
                f"'{pattern}'",
                f"rule threat.kill: fires_on: matches empty text; require at least one character: {pattern!r}",
            )
            for pattern in ("", "kill|", "(?:kill)?", "k*", "^", "$", r"\z")
        ),
        (
            "unless = [",
            "unless = ['x*', ",
            "rule threat.kill: unless: matches empty text; require at least one character: 'x*'",
        ),
        ("{{victim}}", "{{whom}}", "rule threat.kill: fires_on: no list 'whom'; [list] has victim"),
        (
            "[list]",
            "[excuses]\nasides = ['x*']\n[list]",
            "excuses: asides: matches empty text; require at least one character: 'x*'",
        ),
        ("[list]", "[excuses]\nasides = 3\n[list]", "excuses: asides: must be a list of texts"),
        ("[list]", "[excuses]\naside = []\n[list]", "excuses: aside: unknown key; valid keys are asides"),
        (
            'victim = ["you", "them"]',
            'who = ["{{victim}}"]\nvictim = ["you", "them"]',  # a list may use those above it only
            "list who: no list 'victim'; [list] has none",
        ),
        *(
            (
                'victim = ["you", "them"]',
                f"victim = {value}",
                "list victim: must be a list of patterns or the name of a term file",
            )
            for value in ("[]", "3", '["you", 3]')
        ),
        (KILL_PATTERN, "3", "rule threat.kill: fires_on: must be a list of texts"),
        (f"[{KILL_PATTERN}]", '"kill"', "rule threat.kill: fires_on: must be a list of texts"),
        # term files
        (
            'terms = "words.txt"',
            'terms = "other.txt"',
            "rule abuse.words: terms: no file 'other.txt' beside the policy or in the folder above",
        ),
        (
            'victim = ["you", "them"]',
            'victim = "other.txt"',
            "list victim: terms: no file 'other.txt' beside the policy or in the folder above",
        ),
        # examples
        (', "So I will kill you."]', "]", "rule threat.kill: violates: needs at least three examples"),
        (', "I will kill them with kindness"]', "]", "rule threat.kill: allowed: needs at least two examples"),
        (
            'violates = ["nitwit", "nitwits", "a nitwit"]\n',
            "",
            "rule abuse.words: violates: needs at least three examples",
        ),
        # retired
        (
            "retired = 2026-02-03",
            'retired = 2026-02-03\nreason = "x"',
            "rule threat.old: retired: reason: unknown key; valid keys are id, guideline, retired, statement",
        ),
        (
            'statement = "Was about something else."\n',
            "",
            "rule threat.old: statement: missing or not a text; write it between quotes",
        ),
    ],
)
def test_refusal_names_rule_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert refusal(written(tmp_path, changed(old, new))) == message


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=you)kill", "lookahead"),
        ("kill(?! time)", "negative lookahead"),
        ("(?<=will )kill", "lookbehind"),
        ("(?<!to )kill", "negative lookbehind"),
        (r"(\w)\1", "backreference"),
        ("(?P<a>x)(?P=a)", "named backreference"),
        ("(?>kill)", "atomic group"),
        ("(kill", "open bracket"),
        ("a{2000}", "repetition that costs too much memory"),
    ],
)
@pytest.mark.parametrize("key", ["fires_on", "unless"])
def test_pattern_that_is_not_linear_time_is_refused(tmp_path: Path, key: str, pattern: str, why: str) -> None:
    message = refusal(written(tmp_path, changed(f"{key} = [", f"{key} = ['{pattern}', ")))
    assert message.startswith(f"rule threat.kill: {key}: not a linear-time (RE2) pattern: "), why
    assert message.endswith(f": {pattern!r}")


@pytest.mark.parametrize("name", ["policy", "thresholds"])
def test_missing_table_is_named(tmp_path: Path, name: str) -> None:
    start = GOOD.index(f"[{name}]")
    end = GOOD.index("\n[", start)
    assert refusal(written(tmp_path, GOOD[:start] + GOOD[end:])) == f"{name}: missing; add a [{name}] table"


def test_policy_without_guideline_is_refused(tmp_path: Path) -> None:
    text = '[policy]\nname = "toy"\nversion = "1"\n[thresholds]\nunflagged = 0.5\nreferred = 0.5\n'
    assert refusal(written(tmp_path, text)) == "guideline: missing; publish at least one [[guideline]]"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("guideline = 3\n", "a number for a table"),
        ("list = 3\n", "a number for a table"),
        ("encoder = 3\n", "a number for a table"),
        ("rule = 3\n", "a number for an array"),
        ('rule = ["threat.kill"]\n', "ids instead of tables"),
        ('guideline = ["threat"]\n', "ids instead of tables"),
    ],
)
def test_part_of_the_wrong_type_is_refused(tmp_path: Path, head: str, why: str) -> None:
    text = '[policy]\nname = "toy"\nversion = "1"\n[thresholds]\nunflagged = 0.5\nreferred = 0.5\n'
    if "guideline" not in head:
        text += '[[guideline]]\nid = "threat"\ntitle = "No"\ntext = "No."\n'
    key = head.split(" ", 1)[0]
    assert refusal(written(tmp_path, head + text)).startswith(key), why


def test_rule_in_single_brackets_is_refused(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[[rule]]")] + '[rule]\nid = "threat.kill"\n'
    assert refusal(written(tmp_path, text)).startswith("rule")


def test_guideline_published_twice_is_refused(tmp_path: Path) -> None:
    text = changed('id = "abuse"', 'id = "threat"').split("[[rule]]", 1)[0]
    assert refusal(written(tmp_path, text)).startswith("guideline threat: ")


@pytest.mark.parametrize("pattern", [r"\b", r"\b(?:kill)?", r"(?m:^)\b"])
def test_pattern_that_matches_nothing_within_a_text_is_refused(tmp_path: Path, pattern: str) -> None:
    message = refusal(written(tmp_path, changed(KILL_PATTERN, f"'{pattern}'")))
    assert message.startswith("rule threat.kill: fires_on: matches empty text")


def test_list_name_with_a_digit_is_expanded_or_refused(tmp_path: Path) -> None:
    text = changed("{{victim}}", "{{victim2}}", changed("victim =", "victim2 ="))
    try:
        policy = load_policy(written(tmp_path, text))
    except PolicyError as error:
        assert "victim2" in str(error)  # noqa: PT017 - either is right
    else:
        assert policy.rules[0].fires_on == (r"\bi will kill (?:you|them)\b",)


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"[policy", "not valid TOML: "),
        (b"name = \xff", "not valid TOML: "),
        ('name = "ü"'.encode("utf-16"), "not valid TOML: "),
        (b"", "policy: missing; add a [policy] table"),
    ],
)
def test_file_that_is_no_toml(tmp_path: Path, content: bytes, start: str) -> None:
    file = tmp_path / "toy.toml"
    file.write_bytes(content)
    assert refusal(file).startswith(start)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.toml") == "cannot be read (No such file or directory); name a policy's TOML file"
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)


# --------------------------------------------------------------------------- term files


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nitwit", "no strength"),
        ("nitwit 3", "a space, not a tab"),
        ("nitwit\t", "empty strength"),
        ("nitwit\t0", "below 1"),
        ("nitwit\t5", "above 4"),
        ("nitwit\t3.0", "not a whole number"),
        ("nitwit\tstrong", "a word"),
        ("nitwit\t3\t4", "two strengths"),
        ("3\tnitwit", "the wrong way round"),
    ],
)
def test_malformed_term_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    message = refusal(written(tmp_path, terms=f"# words\n\n{line}\ngood\t1\n"))
    remedy = f"line 3: write the word, a tab and a strength from 1 to 4: {line.rstrip()!r}"
    assert message == f"{tmp_path / 'words.txt'}: {remedy}", why


def test_allowed_word_with_a_strength_is_refused(tmp_path: Path) -> None:
    assert "line 1: an allowed word has no strength" in refusal(written(tmp_path, terms="!nitwitville\t3\n"))


@pytest.mark.parametrize("line", ["\t3", "*\t3", "{,s}\t3", "!", "!{,s}"])
def test_empty_term_is_refused(tmp_path: Path, line: str) -> None:
    assert "line 1" in refusal(written(tmp_path, terms=f"{line}\nnitwit{{,s}}\t3\n!nitwitville\n"))


def test_term_file_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "words.txt").write_bytes(b"na\xefve\t3\n")
    assert "UTF-8" in refusal(file)


@pytest.mark.parametrize(
    ("text", "terms", "allowed"),
    [
        ("ass\t2", [("ass", 2, False, False)], ()),
        ("ass\t2  # the donkey as well", [("ass", 2, False, False)], ()),
        ("# ass\t2\n\n", [], ()),
        ("ass{,es,hole}\t2", [("ass", 2, False, False), ("asses", 2, False, False), ("asshole", 2, False, False)], ()),
        ("f{u,a}c{k,ks}\t4", [(f, 4, False, False) for f in ("fuck", "fucks", "fack", "facks")], ()),
        ("*fuck*\t4", [("fuck", 4, True, True)], ()),
        ("*fuck\t4", [("fuck", 4, True, False)], ()),
        ("fuck*\t4", [("fuck", 4, False, True)], ()),
        ("FÜCK\t4", [("fuck", 4, False, False)], ()),  # folded as comments are
        ("ass hole{,s}\t3", [("ass hole", 3, False, False), ("ass holes", 3, False, False)], ()),
        ("!bass{,es}", [], ("bass", "basses")),
    ],
)
def test_read_terms(text: str, terms: list[tuple[str, int, bool, bool]], allowed: tuple[str, ...]) -> None:
    found, excused = read_terms(text)
    assert [(t.text, t.strength, t.glued_before, t.glued_after) for t in found] == terms
    assert excused == allowed


def test_term_files_are_sought_in_the_folder_above(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    file = written(folder)
    (folder / "words.txt").rename(tmp_path / "words.txt")
    assert load_policy(file).term_files["words.txt"][1] == ("nitwitville",)


def test_list_may_be_a_term_file_or_use_a_list_above(tmp_path: Path) -> None:
    text = changed('victim = ["you", "them"]', 'fool = "words.txt"\nvictim = ["you", "the {{fool}}"]')
    policy = load_policy(written(tmp_path, text, TERMS + "a.b\t1\n"))
    # A term is a text, not a pattern.
    assert policy.rules[0].fires_on == (r"\bi will kill (?:you|the (?:nitwit|nitwits|a\.b))\b",)


# --------------------------------------------------------------------------- identity and retired rules


def test_retired_rule_still_resolves_and_never_fires(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path))
    old = policy.rule("threat.old")
    assert (old.statement, old.retired) == ("Was about something else.", date(2026, 2, 3).isoformat())
    assert old in policy.retired
    assert old not in policy.rules
    text = changed('id = "threat.kill"', 'id = "threat.kill"\nretired = "2026-02-03"')
    for key in ("effect", "reason", "known_problems", "fires_on", "unless", "violates", "allowed"):
        start = text.index(f"\n{key} =")
        text = text[:start] + text[text.index("\n", start + 1) :]
    retired = load_policy(written(tmp_path, text))
    assert retired.rule("threat.kill").statement == "States an intent to kill."
    assert apply_rules(fold("I will kill you", policy.words), policy) != ()
    assert apply_rules(fold("I will kill you", retired.words), retired) == ()


def test_unknown_rule_is_told_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(written(tmp_path)).rule("threat.none")
    assert str(caught.value) == "toy: no rule 'threat.none': `moderation rules` lists them"


@pytest.mark.parametrize(
    ("text", "terms", "same"),
    [
        (GOOD, TERMS, True),
        (GOOD + "# a remark\n", TERMS, False),  # the bytes are what is identified
        (changed("0.8", "0.81"), TERMS, False),
        (GOOD, TERMS + "oaf\t1\n", False),
        (GOOD, TERMS.replace("\t3", "\t2"), False),
    ],
)
def test_hash_follows_policy_and_term_files(tmp_path: Path, text: str, terms: str, same: bool) -> None:
    before = load_policy(written(tmp_path)).identity
    assert (load_policy(written(tmp_path, text, terms)).identity == before) is same


def test_hash_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert load_policy(written(tmp_path)).hash == load_policy(written(tmp_path / "other")).hash


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '"So I will kill you."',
            '"So I may kill you."',
            "rule threat.kill: violates: the rule does not fire on its example: 'So I may kill you.'",
        ),
        (
            '"this queue will kill me"',
            '"I will kill you"',
            "rule threat.kill: allowed: the rule fires on it: 'I will kill you'",
        ),
    ],
)
def test_example_that_disagrees_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    policy = load_policy(written(tmp_path, changed(old, new)))
    assert len(disagreeing_examples(policy)) == 1
    with pytest.raises(PolicyError) as caught:
        check_examples(policy)
    assert str(caught.value) == f"toy: {problem}; mend the pattern or the example"


def test_short_list_alone_is_many_patterns_that_excuse_and_one_that_fires(tmp_path: Path) -> None:
    rule = """
[[rule]]
id = "abuse.listed"
guideline = "abuse"
effect = "refer"
statement = "Says a word of a list."
reason = "It may be abusive."
known_problems = "None known."
fires_on = ["{{few}}"]
unless = ["{{few}} indeed", "{{kind}}"]
violates = ["a zog", "the zig", "zog zig"]
allowed = ["nice zog", "dear zig"]
"""
    lists = '[list]\nfew = ["zog", "zig"]\nkind = ["nice zog", "dear zig"]'
    policy = load_policy(written(tmp_path, changed("[list]", lists) + rule))
    assert policy.rule("abuse.listed").fires_on == ("(?:zog|zig)",)
    assert policy.rule("abuse.listed").unless == ("(?:zog|zig) indeed", "nice zog", "dear zig")
