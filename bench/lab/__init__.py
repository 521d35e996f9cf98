"""The laboratory: our server and its peers as private processes on loopback.

    postwren.py   our server, driven by its command line only
    dovecot.py    a private Dovecot in one of its three formats
    postfix.py    a private Postfix that hands on by SMTP or LMTP
    process.py    process trees, their CPU time and memory; free ports
    mail.py       a raw SMTP/LMTP sender and a raw POP3 reader that keep every octet

Benchmarks, interop and crash tests share it. Everything lives below a folder given by the caller; nothing outside it is touched
but the system user that Dovecot needs.
"""
