"""The other direction: a *server* held to the order table, and to the rules of logs and chains.

What a backup client may expect of any server that speaks the API, checked through its calls alone.
What the calls can't bring about (mounting, users at work, what they committed) a server may offer
as abilities; a check that needs one that is not offered does not apply.
"""
