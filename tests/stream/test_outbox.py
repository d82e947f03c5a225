"""The queue to the consumer: bounded, counted, and left without waiting."""

import threading

from edge_app.stream.outbox import Outbox


def test_items_come_in_order_and_no_more_wait_than_may():
    outbox: Outbox[int] = Outbox(4)

    def produce() -> None:
        for number in range(1, 1001):
            assert outbox.put(number)
        outbox.close()

    producer = threading.Thread(target=produce)
    producer.start()
    received = []
    while (item := outbox.get()) is not None:
        received.append(item)
    producer.join()
    assert received == list(range(1, 1001))
    assert 1 <= outbox.max_depth <= 4


def test_what_is_there_is_given_after_the_end():
    outbox: Outbox[str] = Outbox(4)
    outbox.put("a")
    outbox.close()
    assert [outbox.get(), outbox.get(), outbox.get()] == ["a", None, None]


def test_a_waiting_producer_is_told_that_the_consumer_has_gone():
    outbox: Outbox[int] = Outbox(1)
    outbox.put(1)
    results = []
    producer = threading.Thread(target=lambda: results.append(outbox.put(2)))
    producer.start()
    outbox.abandon()
    producer.join()
    assert results == [False]
