"""A fuzzer for the wire: recorded conversations, mutations of them, and what must hold for each.

* ``conversations``: the corpus, made anew at each run from our own codec.
* ``mutations``: what is done to a case; seeded.
* ``feedback``: which steps from line to line a case takes, so that those that go new ways are kept.
* ``target``: what a target is.
* ``core``, ``scripted``, ``authenticated``, ``administered``, ``api``, ``codec``: the server's
  core, a whole server on a scripted socket, one with users, one with administration, the whole
  client, its core and the decoders; each with what must hold.
* ``standins``: what stands in for randomness, the log and a socket.
* ``live``: a real server on a socket, with a client beside it that must be served all the time.
* ``runner``: the loop, and the report.

``python -m tools.fuzz_rpc`` runs it.
"""
