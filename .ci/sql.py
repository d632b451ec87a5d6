"""Runs the SQL of docs/sql.md on each engine that is installed, and compares the answers."""

import importlib
import pathlib
import re
import sys

recording, findings = sys.argv[1], sys.argv[2]
needed = set(sys.argv[3:])
text = pathlib.Path(__file__).parent.parent.joinpath("sampler-user/docs/sql.md").read_text()
text = text.replace("RECORDING", recording).replace("FINDINGS", findings)
blocks = re.findall(r"```sql ?(\w*)\n(.*?)```", text, re.DOTALL)
questions = [block.strip().rstrip(";") for engine, block in blocks if not engine]
assert len(questions) >= 4, questions


def tables(engine):
    found = [block for name, block in blocks if name == engine]
    assert found, f"docs/sql.md has no tables for {engine}"
    return [statement.strip() for statement in found[0].split(";") if statement.strip()]


def duckdb():
    engine = importlib.import_module("duckdb").connect()
    for statement in tables("duckdb"):
        engine.execute(statement)
    return lambda sql: engine.execute(sql).fetchall()


def clickhouse():
    # Without a folder of its own a session is in memory.
    session = importlib.import_module("chdb").session.Session()
    for statement in tables("clickhouse"):
        session.query(statement)

    def ask(sql):
        import json

        answer = session.query(sql, "JSONCompactEachRow").bytes().decode()
        return [tuple(json.loads(line)) for line in answer.splitlines()]

    return ask


def datafusion():
    engine = importlib.import_module("datafusion").SessionContext()
    for statement in tables("datafusion"):
        engine.sql(statement)

    def ask(sql):
        return [tuple(row.values()) for batch in engine.sql(sql).collect() for row in batch.to_pylist()]

    return ask


def plain(value):
    """Engines differ in how they give a number back, not in the number."""
    if value is None or isinstance(value, str) and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return value
    return round(float(value), 3)


ENGINES = {"duckdb": ("duckdb", duckdb), "clickhouse": ("chdb", clickhouse), "datafusion": ("datafusion", datafusion)}
first = None
for name, (module, opened) in ENGINES.items():
    try:
        importlib.import_module(module)
    except ImportError:
        assert name not in needed, f"{name} is not installed"
        print(f"SKIPPED {name}: no module {module}")
        continue
    ask = opened()
    answers = [[tuple(plain(value) for value in row) for row in ask(question)] for question in questions]
    assert len(answers[0]) > 0 and len(answers[1]) > 0, f"{name} finds nothing: {answers}"
    if first is None:
        first = (name, answers)
    for question, mine, theirs in zip(questions, answers, first[1], strict=True):
        assert mine == theirs, f"{name} and {first[0]} differ:\n{question}\n{mine}\n{theirs}"
    print(f"{name} answers {len(questions)} questions with {sum(map(len, answers))} rows")
assert first, "no engine is installed"
