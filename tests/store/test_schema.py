"""A database of the version before is brought up to date, and nothing in it is lost."""

import sqlite3

from edge_app.store.database import Store
from edge_app.store.schema import _ADDED_IN_2, _TABLES, APPLICATION_ID
from tests.store.told import RATE, event, facts


def test_a_database_of_version_1_is_brought_up_to_date(tmp_path):
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(path) as former:
        former.executescript(_TABLES)
        former.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        former.execute("PRAGMA user_version = 1")
        former.execute(
            "INSERT INTO session(started_ns, source, device, sample_rate, model_sha256, model_name, runtime, "
            "app_version, settings_json, ended) VALUES (0, 'kitchen', '', 16000, '', '', '', '', '{}', 1)"
        )
    former.close()
    for _ in range(2):
        with Store(path) as store:
            assert store.sessions()[-1].source == "kitchen"
            assert (store.sessions()[-1].recording, store.marks(1)) == (None, [])
            session = store.begin_session(facts())
            store.take(session, event("closed", 1, RATE, 2 * RATE))
            store.mark(session, RATE, "the kettle")
            store.end_session(session)
    assert _ADDED_IN_2.count("CREATE TABLE") == 2
