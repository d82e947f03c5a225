"""How the page of a run looks: light or dark as the reader's system is, and light on paper."""

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1d2429; --soft: #5b6770; --line: #d9dfe3;
  --mark: #2b7a8c; --hour: #e6edf0; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14191d; --ink: #e4e9ec; --soft: #9aa7b0; --line: #313a41; --mark: #63b7c9;
    --hour: #262f35; }
}
@media print {
  :root { color-scheme: light; --ground: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb;
    --mark: #2b7a8c; --hour: #e6edf0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p { margin: .3rem 0 .8rem; color: var(--soft); max-width: 46rem; }
.totals { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 0; padding: .8rem 0;
  border-block: 1px solid var(--line); }
.totals dt { color: var(--soft); font-size: .85rem; }
.totals dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin-bottom: .8rem; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; font-weight: normal; }
tbody tr { border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .85rem; }
td { font-variant-numeric: tabular-nums; }
.labels td:not(:nth-child(3)), .labels th:not(:nth-child(3)), .hours th, .decoding td { white-space: nowrap; }
.labels td:nth-child(3) { width: 35%; vertical-align: middle; }
.labels td:nth-child(2), .hours td:last-child { text-align: right; }
.labels thead th:nth-child(2), .hours thead th:last-child { text-align: right; }
.bar { display: block; height: .75rem; background: var(--mark); border-radius: 1px; }
.hours td:nth-child(2) { width: 75%; }
.hours td, .hours tbody th { vertical-align: middle; }
.names tbody th, .words td, .words tbody th { overflow-wrap: anywhere; }
.words tbody th { width: 35%; }
svg { display: block; width: 100%; min-width: 22rem; }
svg text { fill: var(--soft); font-size: 11px; }
.ground { fill: var(--hour); }
.nothing { fill: none; }
.mark { fill: var(--mark); }
.over { fill: transparent; }
code { font-size: .85em; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; padding-top: .6rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .85rem; }
"""
