"""The few public documents that a mail server has on the web: its MTA-STS policy, answers to ACME's challenges, autoconfig.

session      one connection: a request, a look at the table, an answer
route        the table's rows
documents    what stands in it
autoconfig   how a mail program reaches an account, in Mozilla's XML
"""
