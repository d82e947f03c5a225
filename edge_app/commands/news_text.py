"""News of a live run as lines to read."""

from edge_app.core.runtimes import runtime_text
from edge_app.stream.messages import EventNews, GapNews, News, Summary

GAP_WORDS = {"lost": "the sound was lost", "skipped": "there was no time to analyse it"}


def as_text(news: News) -> str:
    """One line to read; empty for an update."""
    if isinstance(news, Summary):
        return summary_text(news)
    if isinstance(news, GapNews):
        return f"{clock_text(news.onset)}  gap of {news.offset - news.onset:.2f} s: {GAP_WORDS[news.kind]}"
    return event_text(news)


def clock_text(time_s: float) -> str:
    """Seconds as minutes and seconds: 83.5 is 01:23.50."""
    minutes, hundredths = divmod(round(time_s * 100), 6000)
    return f"{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"


def event_text(news: EventNews) -> str:
    """One line about an event; empty for an update."""
    onset, label = clock_text(news.onset), news.event_label.replace("_", " ")
    if news.type == "provisional":
        return f"{onset}  {label}?"
    if news.type == "confirmed":
        return f"{onset}  {label} begins"
    if news.type == "withdrawn":
        return f"{onset}  {label}? withdrawn"
    if news.type == "closed":
        ending = "is cut by a gap" if news.cut else "ends"
        return (
            f"{clock_text(news.offset)}  {label} {ending}: since {onset}, "
            f"{news.offset - news.onset:.2f} s, score {news.score:.2f}"
        )
    return ""


def summary_text(summary: Summary) -> str:
    """The books of a run in one line."""

    def seconds(samples: int) -> str:
        return f"{samples / summary.sample_rate:.2f} s"

    return (
        f"received {seconds(summary.samples_received)} ({summary.samples_received} samples), "
        f"analysed {seconds(summary.samples_analysed)}, not analysed {seconds(summary.samples_not_analysed)}, "
        f"gaps {seconds(summary.samples_gap)}, overflows {summary.overflows}, "
        f"real-time factor {summary.real_time_factor:.4f}, hop of {summary.hop_frames} frames, "
        + runtime_text(summary.runtime, summary.runtimes_passed_over)
    )
