"""No record or policy of MTA-STS makes us raise anything but PolicyInvalid, and what was read is what its own text says again."""

from postwren.mailauth.mtasts import LIMITS, Mode, Policy, PolicyInvalid, format_policy, format_record, parse_policy, parse_record


def target(data: bytes) -> None:
    policy_id = parse_record(data.split(b"\n"))
    if policy_id is not None:
        assert parse_record([format_record(policy_id)]) == policy_id
    try:
        policy = parse_policy(data)
    except PolicyInvalid:
        return
    assert policy.max_age <= LIMITS.max_age
    assert len(policy.mx) <= LIMITS.patterns
    assert parse_policy(format_policy(policy)) == policy
    assert all(not policy.covers(f"a.b.{pattern.removeprefix('*.')}") or pattern.count("*") for pattern in policy.mx[:1])


SEEDS: list[bytes] = [
    b"v=STSv1; id=20260101T000000;",
    b"v=spf1 -all\nv=STSv1;id=a1 ; x=y",
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
    b"version: STSv1\nmode: none\nmax_age:86400\nextra: \xc3\xa4\n",
    format_policy(Policy(Mode.TESTING, ("mx.example.org",), 0)),
]
