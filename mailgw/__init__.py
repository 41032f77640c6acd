"""mailgw: a mail gateway for an organisation.

The folders stand in the order of the mail:

    smtp -> reception -> senderauth -> filters -> verdict -> routing -> queue -> delivery

`mail` is the vocabulary that they share; `dns`, `config` and `operation` serve all of them; `commands` is the
`mailgw` command line; `tap` puts it together for `twistd`.
"""
