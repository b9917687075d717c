"""The HTTP door: `moderation serve`.

One process holds the moderators of its sites, which share a model in memory. Requests meet in the `Desk`: a
bounded queue before one thread, which decides on what is waiting and records it before anyone is answered.
"""
