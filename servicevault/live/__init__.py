"""What happens now, told to whoever watches: WebSocket at `/ws/import`, Server-Sent Events, one place for both (L1-L17).

    telling     what happened becomes a hint: the name of an event, an id, a sequence number
    publishing  hints leave this process through the channel layer, beside the work
    channels    who may listen where, and how a hint becomes a frame: read anew from the database, by the listener's rights
    identity    who is behind a socket, asked again as long as it is open
    consumer    the socket;  stream: the same frames over plain HTTP

The database is the truth. A hint may be lost, late or forged: it carries nothing but ids.
"""
