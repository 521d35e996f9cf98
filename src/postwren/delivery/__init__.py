"""What happens to mail on its way in, between a protocol and the mailstore.

envelope   who it is from and for        trace      the lines we add, the fields we watch
inbound    the named steps between the end of the data and the store
door       what is asked about a host before its mail is taken: connection, dnslist, greylist
judging    the steps of mail from elsewhere: SPF, DKIM, DMARC, and what follows from them
intake     how one message is treated: at once when its header ended, or at the end of the data
"""
