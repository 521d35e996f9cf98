"""Every limit has a test at n and at n + 1: the table says which, and a new limit without a row fails. Tests of limits that
have no home elsewhere stand here too.

A limit is a field of a class that is called ...Limits, ...Caps, ...Patience, ...Settings or ...Policy.
"""

import ast
import asyncio
import dataclasses
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

import postwren
from postwren.app.settings import POP3_PATIENCE, SMTP_PATIENCE, caps, smtp_settings
from postwren.config.schema import Config
from postwren.config.schema import Limits as ConfigLimits
from postwren.mailstore.errors import LoginInvalid, MailboxNameInvalid
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.mailboxname import LIMITS as MAILBOX_LIMITS
from postwren.mailstore.service.mailboxname import canonical
from postwren.message.header import read_header
from postwren.message.limits import Limits as MessageLimits
from postwren.message.part import parse_parts
from postwren.message.preview import preview
from postwren.protocols.sasl import Abort, ClientCredentials
from postwren.protocols.sasl.exchange import Limits as SaslLimits
from postwren.protocols.sasl.scram import ClientBinding, ScramClient
from postwren.protocols.smtp.client import ClientConnection
from postwren.protocols.smtp.command import Auth, Ehlo
from postwren.protocols.smtp.limits import Limits as SmtpLimits
from postwren.protocols.smtp.reply import Reply, ReplyInvalid, ReplyReader
from postwren.protocols.smtp.server import CommandRejected, ServerConnection
from postwren.server.login.throttle import Limits as ThrottleLimits
from postwren.server.login.throttle import Throttle
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SmtpSettings
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink
from postwren.transport.deadline import Pace, Patience
from postwren.transport.limit import Caps
from postwren.wire.core import Waiting
from postwren.wire.secret import Secret
from tests.unit.server.login.login_world import Clock

ROOT: Final = Path(__file__).parent.parent
HERE: Final = "tests/test_limits.py"
HEADER, PART = "tests/unit/message/test_header.py", "tests/unit/message/test_part.py"
POP3 = "tests/unit/pop3/test_pop3_limits.py"
IMAP = "tests/unit/imap/test_imap_limits.py"
IMAP_CLIENT = "tests/unit/imap/test_imap_client_core.py"
LINK, DOOR = "tests/unit/transport/test_link.py", "tests/unit/transport/test_limit.py"
THROTTLE, LOGIN = "tests/unit/server/login/test_throttle.py", "tests/unit/server/login/test_authenticator.py"
DISK, SPACE = "tests/unit/embedded/test_embedded_store.py", "tests/unit/embedded/test_space.py"
ACCOUNTS = "src/postwren/testing/contract/accounts.py"
MAILBOXES = "src/postwren/testing/contract/mailboxes.py"
NAMES_TEST = "test_names_that_cannot_be_are_refused_and_the_longest_that_can_be_are_taken"
DNSLIST, GREYLIST = "tests/unit/delivery/test_dnslist.py", "tests/unit/delivery/test_greylist.py"
SPF = "tests/unit/mailauth/test_spf.py"
SEARCH, BOUNDS_TEST = "tests/unit/mailstore/test_search.py", "test_depth_number_and_texts_are_bounded"
ALLOWANCE = "tests/unit/smtp/test_allowance.py"
SMTP_SCRIPT = "tests/scripts/smtp/limit.script"  # of a dialogue: the beginning of its name

MX = "tests/unit/delivery/test_mx.py"
CONNECTION, OUTBOUND = "tests/unit/exchange/test_connection.py", "tests/unit/exchange/test_outbound.py"
HTTP, HTTP_SERVER = "tests/unit/protocols/test_http_client.py", "tests/unit/protocols/test_http_server.py"
IMAP, IMAP_CLIENT = "tests/unit/imap/test_imap_limits.py", "tests/unit/imap/test_imap_client_core.py"
TLS_REPORT = "tests/unit/exchange/test_tlsreport.py"
ACME = "tests/unit/exchange/test_acme.py"
STS, STS_CACHE = "tests/unit/mailauth/test_mtasts.py", "tests/unit/exchange/test_mtasts_cache.py"
KEPT = "tests/unit/mailstore/test_account_limits.py"
SHARING, SNAPSHOTS = "src/postwren/testing/contract/sharing.py", "src/postwren/testing/contract/snapshots.py"
DSN = "tests/unit/delivery/test_dsn.py"
IMAP_SESSION = "tests/unit/server/imap/test_limits.py"
DKIM, ARC = "tests/unit/mailauth/test_dkim.py", "tests/unit/mailauth/test_arc.py"

AUTHRES, DMARC = "tests/unit/mailauth/test_authres.py", "tests/unit/mailauth/test_dmarc.py"
DOOR_OF_MAIL = "tests/unit/smtp/test_door.py"
AGGREGATE = "tests/unit/mailauth/test_aggregate.py"
REPORTS = "tests/unit/exchange/test_dmarc_reports.py"
JUDGING = "tests/unit/smtp/test_judging.py"

TESTS: Final[dict[str, tuple[str, str]]] = {
    "config.schema.Limits.connections": (HERE, "test_the_limits_of_the_configuration_reach_those_who_keep_them"),
    "config.schema.Limits.connections_per_address": (HERE, "test_the_limits_of_the_configuration_reach_those_who_keep_them"),
    "config.schema.Limits.connects_per_minute": (HERE, "test_the_limits_of_the_configuration_reach_those_who_keep_them"),
    "delivery.mx.MxLimits.hosts": (MX, "test_so_many_hosts_and_addresses_and_not_one_more"),
    "delivery.mx.MxLimits.addresses": (MX, "test_so_many_hosts_and_addresses_and_not_one_more"),
    "exchange.acme.Limits.names": (ACME, "test_so_many_names_and_not_one_more"),
    "exchange.acme.Limits.polls": (ACME, "test_waiting_has_an_end"),
    "exchange.acme.Limits.wait": (ACME, "test_waiting_has_an_end"),
    "exchange.acme.Limits.nonces": (ACME, "test_a_nonce_that_is_refused_is_replaced_and_not_for_ever"),
    "exchange.dane.Limits.chain": (
        "tests/unit/exchange/test_dane.py", "test_so_many_certificates_are_looked_at_and_not_one_more"),
    "exchange.mtasts.Limits.shelf": (STS_CACHE, "test_a_shelf_has_room_for_so_many_and_the_one_longest_unused_goes"),
    "exchange.mtasts.Limits.shelf_octets": (STS_CACHE, "test_a_shelf_has_so_many_octets_and_not_one_more"),
    "exchange.mtasts.Limits.asked": (STS_CACHE, "test_so_many_domains_are_remembered_as_asked"),
    "exchange.mtasts.Limits.recheck": (STS_CACHE, "test_five_minutes_later_it_is_asked_again"),
    "exchange.mtasts.Limits.renewals": (STS_CACHE, "test_a_round_renews_so_many_and_not_one_more"),
    "exchange.tlsreport.Limits.domains": (TLS_REPORT, "test_a_day_has_so_many_domains_and_not_one_more"),
    "exchange.tlsreport.Limits.policies": (TLS_REPORT, "test_a_domain_has_so_many_policies_and_not_one_more"),
    "exchange.tlsreport.Limits.failures": (TLS_REPORT, "test_so_many_kinds_of_failure_are_kept_apart_and_none_is_lost"),
    "mailauth.tlsrpt.Limits.record": ("tests/unit/mailauth/test_tlsrpt.py", "test_a_record_has_its_limits"),
    "mailauth.tlsrpt.Limits.places": ("tests/unit/mailauth/test_tlsrpt.py", "test_a_record_has_its_limits"),
    "mailauth.mtasts.Limits.policy": (STS, "test_a10_a_policy_has_64_kilobytes_and_not_one_more_octet"),
    "mailauth.mtasts.Limits.patterns": (STS, "test_a_policy_has_so_many_patterns_and_not_one_more"),
    "mailauth.mtasts.Limits.max_age": (STS, "test_nothing_is_believed_for_longer_than_a_year"),
    "exchange.limits.OutboundLimits.connect": (CONNECTION, "test_a_host_that_does_not_answer_the_call_is_left"),
    "exchange.limits.OutboundLimits.greeting": (CONNECTION, "test_a30_a_host_has_so_long_for_each_answer"),
    "exchange.limits.OutboundLimits.hello": (CONNECTION, "test_a30_a_host_has_so_long_for_each_answer"),
    "exchange.limits.OutboundLimits.mail": (CONNECTION, "test_a30_a_host_has_so_long_for_each_answer"),
    "exchange.limits.OutboundLimits.recipient": (CONNECTION, "test_a30_a_host_has_so_long_for_each_answer"),
    "exchange.limits.OutboundLimits.data": (CONNECTION, "test_a30_a_host_has_so_long_for_each_answer"),
    "exchange.limits.OutboundLimits.block": (CONNECTION, "test_a30_a_host_that_does_not_read_is_left"),
    "exchange.limits.OutboundLimits.message": (CONNECTION, "test_a30_a_host_has_so_long_for_the_answer_to_a_message"),
    "exchange.limits.OutboundLimits.handshake": (CONNECTION, "test_a_handshake_has_so_long_and_its_failure_may_be_forgiven"),
    "exchange.limits.OutboundLimits.envelope": (CONNECTION, "test_a30_a_host_has_so_long_for_each_answer"),
    "exchange.limits.OutboundLimits.quit": (CONNECTION, "test_leaving_takes_no_longer_than_its_limit"),
    "exchange.limits.OutboundLimits.recipients": (CONNECTION, "test_a_transaction_has_so_many_recipients_and_not_one_more"),
    "exchange.limits.OutboundLimits.messages": (OUTBOUND, "test_a_connection_carries_so_many_messages_and_not_one_more"),
    "exchange.limits.OutboundLimits.calls": (OUTBOUND, "test_so_many_addresses_are_called_and_not_one_more"),
    "exchange.limits.OutboundLimits.connections": (
        OUTBOUND, "test_there_are_so_many_connections_in_all_and_everybody_has_a_turn"),
    "exchange.limits.OutboundLimits.connections_of_domain": (
        OUTBOUND, "test_a_busy_domain_gets_more_connections_up_to_its_limit"),
    "exchange.limits.OutboundLimits.idle": (OUTBOUND, "test_a_connection_that_stands_too_long_is_ended"),
    "exchange.limits.OutboundLimits.rest": (OUTBOUND, "test_a_dead_domain_costs_one_message_an_attempt_and_nobody_else_waits"),
    "exchange.limits.OutboundLimits.longest_rest": (OUTBOUND, "test_a_rest_is_never_longer_than_its_limit"),
    "mailstore.service.accounts.Limits.local_part": (ACCOUNTS, "test_what_cannot_be_a_login_is_refused_with_a_reason"),
    "mailstore.service.accounts.Limits.domain": (HERE, "test_a_login_has_a_domain_that_dns_can_hold"),
    "mailstore.service.mailboxname.Limits.name": (HERE, "test_a_mailbox_name_of_the_limit"),
    "mailstore.service.mailboxname.Limits.level": (MAILBOXES, NAMES_TEST),
    "mailstore.service.mailboxname.Limits.depth": (MAILBOXES, NAMES_TEST),
    "mailstore.query.Limits.conditions": (SEARCH, BOUNDS_TEST),
    "mailstore.query.Limits.texts": (SEARCH, BOUNDS_TEST),
    "mailstore.query.Limits.depth": (SEARCH, BOUNDS_TEST),
    "mailstore.service.acl.Limits.grants": (KEPT, "test_so_many_grants"),
    "mailstore.service.flags.Limits.flags": (KEPT, "test_so_many_flags_and_sets_of_them"),
    "mailstore.service.flags.Limits.sets": (KEPT, "test_so_many_flags_and_sets_of_them"),
    "mailstore.service.mailboxes.Limits.mailboxes": (KEPT, "test_so_many_mailboxes_by_whatever_road"),
    "mailstore.service.mailboxes.Limits.subscriptions": (KEPT, "test_so_many_subscriptions_by_whatever_road"),
    "mailstore.service.metadata.Limits.entries": (SHARING, "test_annotations_are_bounded"),
    "mailstore.service.metadata.Limits.server_entries": (SHARING, "test_what_is_shared_of_the_server_is_no_accounts"),
    "mailstore.service.metadata.Limits.name": (SHARING, "test_annotations_are_bounded"),
    "mailstore.service.metadata.Limits.value": (SHARING, "test_annotations_are_bounded"),
    "mailstore.snapshot.Limits.idle_seconds": (SNAPSHOTS, "test_snapshots_that_nobody_wants_go_with_time_and_with_number"),
    "mailstore.snapshot.Limits.messages": (SNAPSHOTS, "test_snapshots_that_nobody_wants_go_with_time_and_with_number"),
    "mailstore.snapshot.Limits.replay": (SNAPSHOTS, "test_a_snapshot_that_missed_too_much_is_read_anew"),
    "mailstore.snapshot.Limits.wait": (
        SNAPSHOTS, "test_a_large_mailbox_is_open_before_its_columns_are_read_and_nothing_is_missed"),
    "delivery.dnslist.Limits.lists": (DNSLIST, "test_lists_and_their_weights_end_at_their_limits"),
    "delivery.dnslist.Limits.weight": (DNSLIST, "test_lists_and_their_weights_end_at_their_limits"),
    "delivery.dnslist.Limits.seconds": (DNSLIST, "test_a_list_that_does_not_answer_holds_nobody_up"),
    "delivery.dnslist.Limits.retest": (DNSLIST, "test_the_test_is_made_once_an_hour_and_says_what_does_not_work"),
    "delivery.greylist.GreyPolicy.delay": (GREYLIST, "test_the_first_try_waits_a_retry_is_taken_and_its_network_is_known_then"),
    "delivery.greylist.GreyPolicy.window": (GREYLIST, "test_a_retry_after_the_window_is_a_first_try"),
    "delivery.greylist.GreyPolicy.known_for": (GREYLIST, "test_a_network_is_known_as_long_as_it_writes"),
    "delivery.greylist.GreyPolicy.waiting": (GREYLIST, "test_so_many_wait_and_the_oldest_gives_way"),
    "delivery.greylist.GreyPolicy.waiting_of_network": (GREYLIST, "test_one_network_has_so_many_waiting_and_washes_nobody_out"),
    "delivery.greylist.GreyPolicy.known": (GREYLIST, "test_so_many_networks_are_known_and_the_longest_silent_gives_way"),
    "mailauth.spf.limits.Limits.lookups": (SPF, "test_a34_ten_terms_may_ask_the_dns_and_not_one_more"),
    "mailauth.spf.limits.Limits.void_lookups": (SPF, "test_a34_two_terms_may_ask_for_what_is_not_there_and_not_one_more"),
    "mailauth.spf.limits.Limits.names": (SPF, "test_a34_an_mx_has_ten_hosts_and_not_one_more"),
    "mailauth.spf.limits.Limits.record": (SPF, "test_a34_a_policy_has_so_many_octets_and_not_one_more"),
    "mailauth.spf.limits.Limits.expansion": (SPF, "test_a34_macros_expand_to_so_many_characters_and_not_one_more"),
    "mailauth.spf.limits.Limits.seconds": (SPF, "test_a34_a_check_ends_after_its_time"),
    "delivery.dsn.Limits.returned": (
        DSN, "test_a28_a_message_above_64_kb_comes_back_as_its_header_whatever_ret_says"),
    "delivery.dsn.Limits.diagnostic": (DSN, "test_what_a_host_said_is_cut_at_its_limit"),
    "delivery.dsn.Limits.subject": (DSN, "test_a_subject_is_cut_at_its_limit"),
    "delivery.dsn_reader.Limits.facts": (DSN, "test_octets_of_facts_and_of_what_came_back_are_read_up_to_the_caps"),
    "delivery.dsn_reader.Limits.recipients": (DSN, "test_recipients_of_a_report_are_read_up_to_the_cap"),
    "delivery.dsn_reader.Limits.returned": (DSN, "test_octets_of_facts_and_of_what_came_back_are_read_up_to_the_caps"),
    "message.limits.Limits.header_block": (HERE, "test_a_header_is_parsed_to_its_limit"),
    "message.limits.Limits.header_field": (HEADER, "test_a_field_is_cut_at_its_cap"),
    "message.limits.Limits.header_fields": (HEADER, "test_fields_beyond_the_caps_are_not_parsed"),
    "message.limits.Limits.addresses": ("tests/unit/message/test_address.py", "test_addresses_end_at_the_cap"),
    "message.limits.Limits.references": (
        "tests/unit/message/test_references.py", "test_of_too_many_the_first_and_the_last_are_kept"),
    "message.limits.Limits.depth": (PART, "test_depth_at_and_over_the_cap"),
    "message.limits.Limits.parts": (PART, "test_number_of_parts_at_and_over_the_cap"),
    "message.limits.Limits.boundary": (PART, "test_boundaries_at_and_over_the_cap"),
    "message.limits.Limits.subject": ("tests/unit/message/test_subject.py", "test_a_base_subject_ends_at_the_cap"),
    "message.limits.Limits.preview": (HERE, "test_a_preview_ends_at_its_limits"),
    "message.limits.Limits.preview_input": (HERE, "test_a_preview_ends_at_its_limits"),
    "protocols.http.client.Limits.head": (HTTP, "test_the_head_ends_at_its_limit"),
    "protocols.http.client.Limits.body": (HTTP, "test_the_body_ends_at_its_limit"),
    "protocols.http.server.ServerLimits.line": (HTTP_SERVER, "test_a_requests_line_has_its_limit"),
    "protocols.http.server.ServerLimits.head": (HTTP_SERVER, "test_a_requests_head_has_its_limit"),
    "protocols.http.server.ServerLimits.fields": (HTTP_SERVER, "test_a_request_has_so_many_fields_and_not_one_more"),
    "protocols.http.server.ServerLimits.requests": (HTTP_SERVER, "test_a_connection_has_so_many_requests_and_not_one_more"),
    "protocols.imap.limits.Limits.login_line": (IMAP, "test_a42_a_line_before_login_has_its_limit"),
    "protocols.imap.limits.Limits.login_literal": (IMAP, "test_a40_a_literal_before_login_has_512_octets_and_not_one_more"),
    "protocols.imap.limits.Limits.login_literals": (IMAP, "test_a40_a_command_before_login_has_four_literals_and_not_one_more"),
    "protocols.imap.limits.Limits.line": (IMAP, "test_a42_a_line_after_login_has_its_limit"),
    "protocols.imap.limits.Limits.literal": (IMAP, "test_a40_a_literal_after_login_has_its_limit"),
    "protocols.imap.limits.Limits.literals": (IMAP, "test_a40_a_command_after_login_has_so_many_literals"),
    "protocols.imap.limits.Limits.command": (IMAP, "test_a40_a_command_has_so_many_octets_in_all"),
    "protocols.imap.limits.Limits.discard": (IMAP, "test_a40_so_much_beyond_the_limit_is_thrown_away"),
    "protocols.imap.limits.Limits.discard_message": (IMAP, "test_a_refused_message_is_thrown_away_to_its_limit"),
    "protocols.imap.limits.Limits.tag": (IMAP, "test_a42_a_tag_has_its_limit"),
    "protocols.imap.limits.Limits.depth": (IMAP, "test_a41_a_key_is_so_deep"),
    "protocols.imap.limits.Limits.items": (IMAP, "test_a41_lists_have_so_many_items"),
    "protocols.imap.limits.Limits.bad_commands": (IMAP, "test_a06_three_bad_commands_before_login_and_not_one_more"),
    "protocols.imap.limits.ClientLimits.greeting_line": (IMAP_CLIENT, "test_a90_a_greeting_has_its_limit"),
    "protocols.imap.limits.ClientLimits.line": (IMAP_CLIENT, "test_a90_a_server_has_its_limits"),
    "protocols.imap.limits.ClientLimits.literal": (IMAP_CLIENT, "test_a90_a_server_has_its_limits"),
    "protocols.imap.limits.ClientLimits.literals": (IMAP_CLIENT, "test_a90_a_server_has_its_limits"),
    "protocols.imap.limits.ClientLimits.response": (IMAP_CLIENT, "test_a90_a_server_has_its_limits"),
    "protocols.imap.limits.ClientLimits.message": (IMAP_CLIENT, "test_a90_a_server_has_its_limits"),
    "protocols.imap.limits.ClientLimits.section": (IMAP_CLIENT, "test_a_large_section_comes_in_pieces_and_a_small_one_does_not"),
    "protocols.pop3.limits.Limits.command_line": (POP3, "test_a_command_has_512_octets_and_not_one_more"),
    "protocols.pop3.limits.Limits.auth_line": (POP3, "test_an_auth_line_has_12288_octets_and_not_one_more"),
    "protocols.pop3.limits.Limits.bad_commands": (POP3, "test_a06_three_bad_commands_and_not_one_more"),
    "protocols.pop3.limits.Limits.reply_line": (POP3, "test_a_servers_line_has_its_limit"),
    "protocols.pop3.limits.Limits.listing_line": (POP3, "test_a_listings_line_has_its_limit"),
    "protocols.pop3.limits.Limits.listing_lines": (POP3, "test_a_listing_has_its_limit"),
    "protocols.sasl.exchange.Limits.response_line": (
        "tests/unit/protocols/sasl/test_sasl_framing.py", "test_a29_the_line_ends_at_its_limit"),
    "protocols.sasl.exchange.Limits.iterations_min": (HERE, "test_a63_iterations_at_and_beyond_the_bounds"),
    "protocols.sasl.exchange.Limits.iterations_max": (HERE, "test_a63_iterations_at_and_beyond_the_bounds"),
    "protocols.smtp.limits.Limits.command_line": (SMTP_SCRIPT, "a command line of the limit"),
    "protocols.smtp.limits.Limits.auth_line": (HERE, "test_an_auth_line_of_smtp_has_its_limit"),
    "protocols.smtp.limits.Limits.message_size": (SMTP_SCRIPT, "a message of the limit"),
    "protocols.smtp.limits.Limits.recipients": (SMTP_SCRIPT, "recipients to the limit"),
    "protocols.smtp.limits.Limits.authenticated_recipients": (SMTP_SCRIPT, "who has logged in may name more"),
    "protocols.smtp.limits.Limits.hold_seconds": (
        "tests/unit/smtp/test_hold.py", "test_a_submission_is_held_as_long_as_the_limit_and_not_a_second_longer"),
    "protocols.smtp.limits.Limits.reply_line": (HERE, "test_a_line_of_an_smtp_server_has_its_limit"),
    "protocols.smtp.limits.Limits.reply_lines": (HERE, "test_a_reply_of_an_smtp_server_has_its_limit"),
    "server.imap.settings.ImapSettings.size_limit": (
        IMAP_SESSION, "test_a_message_of_the_limit_is_taken_and_one_more_octet_is_not"),
    "server.imap.settings.ImapSettings.save_limit": (IMAP_SESSION, "test_so_many_messages_are_copied_at_once_and_not_one_more"),
    "server.imap.settings.ImapSettings.contexts": (IMAP_SESSION, "test_so_many_searches_are_kept_up_to_date_and_not_one_more"),
    "server.imap.settings.ImapSettings.faults": (IMAP_SESSION, "test_so_many_faults_after_login_and_then_the_connection_ends"),
    "server.imap.settings.ImapSettings.searches": (
        IMAP_SESSION, "test_a43_so_many_searches_of_an_account_at_once_and_not_one_more"),
    "server.imap.settings.ImapSettings.search_seconds": (IMAP_SESSION, "test_a43_a_search_ends_when_its_time_is_over"),
    "server.login.policy.LoginPolicy.failure_delay": (LOGIN, "test_a61_unknown_and_known_logins_take_the_same_road"),
    "server.login.policy.LoginPolicy.hash_queue": (LOGIN, "test_a62_a_thousand_logins_at_once_hash_two_at_a_time"),
    "server.login.throttle.Limits.a_minute": (THROTTLE, "test_a60_each_network_has_its_limit_a_minute"),
    "server.login.throttle.Limits.a_day": (THROTTLE, "test_a60_and_a_limit_a_day"),
    "server.login.throttle.Limits.free_failures": (HERE, "test_a60_the_wait_of_a_login_begins_grows_and_ends"),
    "server.login.throttle.Limits.longest_wait": (HERE, "test_a60_the_wait_of_a_login_begins_grows_and_ends"),
    "server.login.throttle.Limits.login_term": (HERE, "test_a60_the_wait_of_a_login_begins_grows_and_ends"),
    "server.login.throttle.Limits.blocks": (THROTTLE, "test_memory_is_bounded_whatever_the_number_of_addresses_and_names"),
    "server.login.throttle.Limits.logins": (THROTTLE, "test_memory_is_bounded_whatever_the_number_of_addresses_and_names"),
    "server.login.throttle.Limits.known": (THROTTLE, "test_memory_is_bounded_whatever_the_number_of_addresses_and_names"),
    "server.login.throttle.Limits.saved_blocks": (THROTTLE, "test_memory_is_bounded_whatever_the_number_of_addresses_and_names"),
    "server.smtp.allowance.Limits.messages": (
        ALLOWANCE, "test_an_account_sends_so_many_messages_within_an_hour_and_not_one_more"),
    "server.smtp.allowance.Limits.recipients": (
        ALLOWANCE, "test_an_account_writes_to_so_many_recipients_within_an_hour_and_not_one_more"),
    "server.smtp.settings.SmtpSettings.hold_seconds": (
        "tests/scripts/submission/release.script", "not longer than was offered"),
    "server.smtp.settings.SmtpSettings.size_limit": (SMTP_SCRIPT, "SIZE of the limit"),
    "server.smtp.settings.SmtpSettings.recipient_limit": (SMTP_SCRIPT, "recipients to the limit"),
    "server.smtp.settings.SmtpSettings.authenticated_recipient_limit": (SMTP_SCRIPT, "who has logged in may name more"),
    "server.smtp.settings.SmtpSettings.errors_before_recipient": (HERE, "test_a32_so_many_errors_and_not_one_more"),
    "server.smtp.settings.SmtpSettings.errors": (HERE, "test_a32_so_many_errors_and_not_one_more"),
    "storage.embedded.settings.Settings.reserve": (DISK, "test_d04_mail_is_refused_below_the_reserve_and_removals_are_not"),
    "storage.embedded.settings.Settings.segment_size": (DISK, "test_segments_rotate_and_are_all_read"),
    "storage.embedded.settings.Settings.open_segments": (DISK, "test_segments_rotate_and_are_all_read"),
    "storage.embedded.settings.Settings.retired_seconds": (
        SPACE, "test_mostly_empty_segments_are_compacted_and_their_files_go_later"),
    "storage.embedded.settings.Settings.orphan_seconds": (SPACE, "test_files_that_no_row_names_are_swept_after_a_week"),
    "delivery.door.DoorPolicy.refused_from": (DOOR_OF_MAIL, "test_a_host_is_refused_from_a_weight_on"),
    "delivery.door.DoorPolicy.remembered": (
        DOOR_OF_MAIL, "test_an_address_is_asked_about_once_for_some_minutes_and_so_many_are_remembered"),
    "delivery.door.DoorPolicy.addresses": (
        DOOR_OF_MAIL, "test_an_address_is_asked_about_once_for_some_minutes_and_so_many_are_remembered"),
    "delivery.judging.JudgePolicy.patience": (JUDGING, "test_what_nobody_can_tell_costs_no_mail_and_lets_no_forgery_in"),
    "exchange.dmarcreport.Limits.domains": (REPORTS, "test_so_many_rows_domains_and_signatures_are_counted"),
    "exchange.dmarcreport.Limits.rows": (REPORTS, "test_so_many_rows_domains_and_signatures_are_counted"),
    "exchange.dmarcreport.Limits.signatures": (REPORTS, "test_so_many_rows_domains_and_signatures_are_counted"),
    "exchange.dmarcreport.Limits.recipients": (REPORTS, "test_a_day_is_told_when_it_is_over_to_those_who_asked_and_may"),
    "mailauth.aggregate.Limits.packed": (AGGREGATE, "test_a_report_has_limits"),
    "mailauth.aggregate.Limits.unpacked": (AGGREGATE, "test_a36_a_bomb_ends_at_the_cap"),
    "mailauth.aggregate.Limits.depth": (AGGREGATE, "test_a_report_has_limits"),
    "mailauth.aggregate.Limits.rows": (AGGREGATE, "test_a_report_has_limits"),
    "mailauth.aggregate.Limits.text": (AGGREGATE, "test_a_report_has_limits"),
    "mailauth.authres.Limits.value": (AUTHRES, "test_a_value_has_a_length"),
    "mailauth.authres.Limits.results": (AUTHRES, "test_so_many_results_and_properties_are_read"),
    "mailauth.authres.Limits.properties": (AUTHRES, "test_so_many_results_and_properties_are_read"),
    "mailauth.authres.Limits.field": (AUTHRES, "test_so_much_of_a_field_is_read"),
    "mailauth.dmarc.Limits.record": (DMARC, "test_a_record_has_limits"),
    "mailauth.dmarc.Limits.tags": (DMARC, "test_a_record_has_limits"),
    "mailauth.dmarc.Limits.report_uris": (DMARC, "test_a_record_has_limits"),
    "mailauth.dmarc.Limits.authors": (DMARC, "test_so_many_authors_are_judged"),
    "mailauth.dmarc.Limits.labels": (DMARC, "test_a_name_costs_so_many_questions"),
    "transport.deadline.Patience.handshake": (HERE, "test_a08_a30_patience_ends_behind_its_limit"),
    "transport.deadline.Patience.login": (HERE, "test_a08_a30_patience_ends_behind_its_limit"),
    "transport.deadline.Patience.command": (HERE, "test_a08_a30_patience_ends_behind_its_limit"),
    "transport.deadline.Patience.bulk_grace": (HERE, "test_a30_a_message_has_a_grace_and_then_a_rate"),
    "transport.deadline.Patience.bulk_rate": (HERE, "test_a30_a_message_has_a_grace_and_then_a_rate"),
    "transport.deadline.Patience.bulk_stall": (HERE, "test_a30_a_message_has_a_grace_and_then_a_rate"),
    "transport.deadline.Patience.slow_reader": (HERE, "test_a30_a_reader_takes_so_much_in_so_long"),
    "transport.deadline.Patience.slow_reader_rate": (HERE, "test_a30_a_reader_takes_so_much_in_so_long"),
    "mailauth.dkim.limits.Limits.header": (DKIM, "test_a_header_of_the_limit"),
    "mailauth.dkim.limits.Limits.signatures": (DKIM, "test_a35_ten_signatures_are_looked_at_and_a_thousand_cost_little"),
    "mailauth.dkim.limits.Limits.field": (DKIM, "test_a_signature_field_of_the_limit"),
    "mailauth.dkim.limits.Limits.tags": (DKIM, "test_tags_of_the_limit"),
    "mailauth.dkim.limits.Limits.key_record": (DKIM, "test_a_key_record_of_the_limit"),
    "mailauth.dkim.limits.Limits.key_records": (DKIM, "test_so_many_key_records_are_looked_at"),
    "mailauth.dkim.limits.Limits.weakest_rsa": (DKIM, "test_a35_rsa_keys_at_the_bounds_are_taken"),
    "mailauth.dkim.limits.Limits.strongest_rsa": (DKIM, "test_a35_rsa_keys_at_the_bounds_are_taken"),
    "mailauth.dkim.limits.Limits.arc_sets": (ARC, "test_a36_a_chain_of_the_limit"),
    "transport.limit.Caps.total": (DOOR, "test_the_total_holds_for_everybody"),
    "transport.limit.Caps.strangers_per_address": (DOOR, "test_a08_strangers_of_one_address"),
    "transport.limit.Caps.per_account_and_address": (DOOR, "test_who_logs_in_no_longer_counts_as_a_stranger"),
    "transport.limit.Caps.per_minute": (DOOR, "test_a30_connections_a_minute_of_a_network"),
}  # fmt: skip

CHOICES: Final = {  # fields that say how, not how much; and sizes of our own work that no peer can reach
    "mailstore.digester.Limits": {
        "batch_headers", "batch_messages", "batch_octets", "breath_seconds", "idle_seconds", "part_messages", "pause_seconds",
        "quiet_seconds", "slice_messages", "slice_seconds"},
    "delivery.door.DoorPolicy": {"checks_hello", "checks_name"},
    "delivery.judging.JudgePolicy": {"dmarc"},
    "mailauth.mtasts.Policy": {"mode", "mx", "max_age"},
    "server.imap.settings.ImapSettings": {"is_compressing", "administrators"},
    "server.login.policy.LoginPolicy": {"allow_cleartext", "exempt", "anonymous_login", "verify_token", "login_of_certificate"},
    "server.smtp.settings.SmtpSettings": {"hostname", "is_lmtp", "separator", "postmaster", "extensions", "require_auth"},
    "storage.embedded.settings.Settings": {
        "spool_above", "batch_units", "batch_octets", "fill_step", "wal_octets", "idle_seconds", "lock_seconds", "look_seconds",
        "lag_seconds"},
    "sync.settings.Settings": {
        "address", "protocol", "host", "port", "tls", "login", "kept_in", "store", "command", "mechanism", "trust", "delete",
        "smtp", "smtp_tls", "sent"},
    "transport.limit.Caps": {"loopback_is_exempt"},
}  # fmt: skip


def limits() -> Iterator[str]:
    """Every field of every class of limits in the package."""
    for info in pkgutil.walk_packages(postwren.__path__, "postwren."):
        if info.name.endswith("__main__"):
            continue
        for name, kind in vars(importlib.import_module(info.name)).items():
            is_ours = isinstance(kind, type) and kind.__module__ == info.name
            if is_ours and re.search(r"(Limits|Caps|Patience|Settings|Policy)$", name):
                place = f"{info.name}.{name}".removeprefix("postwren.")
                fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else msgspec.structs.fields(kind)
                yield from (f"{place}.{field.name}" for field in fields if field.name not in CHOICES.get(place, ()))


@functools.cache
def names_in(file: str) -> frozenset[str]:
    """The tests of a file, or the dialogues of a script."""
    text = (ROOT / file).read_text()
    if file.endswith(".script"):
        return frozenset(line.removeprefix("=== ") for line in text.splitlines() if line.startswith("=== "))
    nodes = ast.walk(ast.parse(text))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_limit_has_a_row_and_every_row_a_limit() -> None:
    assert set(limits()) == set(TESTS)


@pytest.mark.parametrize("limit", TESTS)
def test_the_test_of_a_limit_exists(limit: str) -> None:
    file, name = TESTS[limit]
    assert name in names_in(file)


# -- limits that have no home elsewhere


def test_the_limits_of_the_configuration_reach_those_who_keep_them() -> None:
    config = msgspec.structs.replace(Config(), limits=ConfigLimits(7, 5, 3))
    assert caps(config) == Caps(7, 5, 5, (3, 9, 27))
    settings = smtp_settings(config, "mx.example.org", is_lmtp=False)
    assert (settings.size_limit, settings.recipient_limit) == (config.smtp.size_limit, config.smtp.recipient_limit)


def test_d53_whoever_is_silent_has_the_time_that_the_standards_ask_for() -> None:
    """RFC 1939 section 3: ten minutes; RFC 5321 section 4.5.3.2.7: five."""
    assert POP3_PATIENCE.command >= 600
    assert SMTP_PATIENCE.command >= 300


def test_a_login_has_a_domain_that_dns_can_hold() -> None:
    """253 characters; the wire's 255 octets are two more."""
    label = "a" * 63
    longest = f"{label}.{label}.{label}.{'a' * 61}"
    assert len(longest) == 253
    create_account(f"ann@{longest}", Credentials("", {}), 0)
    for longer in (f"{longest}a", f"{label}.{label}.{label}.{label}.a", f"{'a' * 64}.example"):
        with pytest.raises(LoginInvalid):
            create_account(f"ann@{longer}", Credentials("", {}), 0)


@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_mailbox_name_of_the_limit(letter: str) -> None:
    size = len(letter.encode())
    name = "/".join([letter * (199 // size)] * 5)
    name += "b" * (MAILBOX_LIMITS.name - len(name.encode()))
    assert canonical(name) == name
    with pytest.raises(MailboxNameInvalid):
        canonical(name + "b")


@pytest.mark.parametrize(("block", "names"), [(9, [b"a"]), (10, [b"a"]), (15, [b"a", b"b"]), (16, [b"a", b"b"])])
def test_a_header_is_parsed_to_its_limit(block: int, names: list[bytes]) -> None:
    octets = b"A: 1234\r\nB: 2\r\n\r\nbody"
    header = read_header(octets, limits=MessageLimits(header_block=block))
    assert [field.name for field in header.fields] == names
    assert octets[header.body_start :] == b"body"


def test_a_preview_ends_at_its_limits() -> None:
    text = b"Subject: x\r\n\r\n" + b"abcdefghij" * 500
    parts = parse_parts(text)
    assert [len(preview(text, parts, MessageLimits(preview=n))) for n in (9, 10, 4999, 5000, 5001)] == [9, 10, 4999, 5000, 5000]
    looked_at = [len(preview(text, parts, MessageLimits(preview=9999, preview_input=n))) for n in (2999, 3000, 4999, 5000, 5001)]
    assert looked_at == [2999, 3000, 4999, 5000, 5000]


@pytest.mark.parametrize(("iterations", "is_taken"), [(4095, False), (4096, True), (5000, True), (5001, False)])
def test_a63_iterations_at_and_beyond_the_bounds(iterations: int, is_taken: bool) -> None:
    mine = ClientCredentials("u", password=Secret("p"))
    client = ScramClient("S", "sha-256", mine, "client", ClientBinding("n"), SaslLimits(iterations_max=5000))
    answer = client.receive(b"r=clientserver,s=AAAA,i=%d" % iterations)
    assert isinstance(answer, bytes) is is_taken
    assert isinstance(answer, Abort) is not is_taken


@pytest.mark.parametrize("more", [0, 1])
def test_an_auth_line_of_smtp_has_its_limit(more: int) -> None:
    core = ServerConnection("mx", limits=SmtpLimits(command_line=30, auth_line=60))
    core.open(Reply(220, "", "mx"), is_tls=True, can_start_tls=False)
    core.receive_data(b"EHLO c\r\n")
    assert isinstance(core.next_event(), Ehlo)
    core.send(core.hello_reply(("PLAIN",)))
    core.receive_data(b"AUTH PLAIN " + b"A" * 48 + b" " * more + b"\r\n")
    assert isinstance(core.next_event(), CommandRejected if more else Auth)


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_of_an_smtp_server_has_its_limit(more: int) -> None:
    core = ClientConnection(SmtpLimits(reply_line=40))
    line = b"220 " + b"x" * (35 + more) + b"\r\n"
    core.receive_data(line)
    event = core.next_event()
    assert (getattr(event, "reply", None) is None) is bool(more), event


def test_a_reply_of_an_smtp_server_has_its_limit() -> None:
    reader = ReplyReader(2)
    assert reader.line(b"250-a") is None
    assert reader.line(b"250 b") is not None
    assert reader.line(b"250-a") is None
    assert reader.line(b"250-b") is None
    with pytest.raises(ReplyInvalid):
        reader.line(b"250 c")


@pytest.mark.parametrize(("hears", "limit"), [("nobody@example.org", 3), ("ann@example.org", 5)])
def test_a32_so_many_errors_and_not_one_more(hears: str, limit: int) -> None:
    """A peer that named a valid recipient may err more often."""

    async def scene() -> None:
        store = MemoryStore()
        await store.perform(create_account("ann@example.org", Credentials("", {}), 0))
        settings = SmtpSettings("mx", errors_before_recipient=3, errors=5)
        link = LoopbackLink(SmtpSession(settings, store, None, Clock()))
        link.receive(b"EHLO c\r\n")
        link.receive(b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\n" % hears.encode())
        link.take()
        for _ in range(limit - 1 - (not hears.startswith("ann"))):
            link.receive(b"XYZZY\r\n")
            assert link.take().startswith(b"500")
        link.receive(b"NOOP\r\n")
        assert link.take().startswith(b"250")
        link.receive(b"XYZZY\r\nNOOP\r\n")
        assert link.take().splitlines()[1:] == [b"421 4.7.0 Too many errors"]
        assert link.is_closed
        store.close()

    asyncio.run(scene())


def test_a60_the_wait_of_a_login_begins_grows_and_ends() -> None:
    throttle = Throttle(limits=ThrottleLimits(free_failures=2, longest_wait=5, login_term=100))
    waits = []
    for number in range(6):
        waits.append(throttle.wait("192.0.2.1", "ann", 1000))
        throttle.failed(f"10.{number}.0.1", "ann", 1000)
    assert waits == [0, 0, 1, 2, 4, 5]
    assert throttle.wait("192.0.2.1", "ann", 1099) == 5
    assert throttle.wait("192.0.2.1", "ann", 1100) == 0


@pytest.mark.parametrize(("spell", "seconds"), [(Waiting.HANDSHAKE, 7), (Waiting.LOGIN, 11), (Waiting.COMMAND, 13)])
def test_a08_a30_patience_ends_behind_its_limit(spell: Waiting, seconds: float) -> None:
    patience = Patience(handshake=7, login=11, command=13)
    pace = Pace(100, spell)
    assert not pace.is_overdue(patience, 100 + seconds, spell, 0, 5)
    assert pace.is_overdue(patience, 100 + seconds + 0.1, spell, 0, 9)


def test_a30_a_message_has_a_grace_and_then_a_rate() -> None:
    patience = Patience(bulk_grace=10, bulk_rate=100, bulk_stall=50)
    for octets, is_overdue in ((1000, False), (999, True)):
        pace = Pace(0, Waiting.BULK)
        assert not pace.is_overdue(patience, 10, Waiting.BULK, 0, 0)
        assert pace.is_overdue(patience, 20, Waiting.BULK, 0, octets) is is_overdue
    pace = Pace(0, Waiting.BULK)
    assert not pace.is_overdue(patience, 1, Waiting.BULK, 0, 1_000_000)
    assert not pace.is_overdue(patience, 51, Waiting.BULK, 0, 1_000_000)
    assert pace.is_overdue(patience, 51.1, Waiting.BULK, 0, 1_000_000)


def test_a30_a_reader_takes_so_much_in_so_long() -> None:
    patience = Patience(slow_reader=10, slow_reader_rate=100)
    for taken, is_slow in ((1000, False), (999, True)):
        pace = Pace(0, Waiting.COMMAND)
        assert not pace.is_reader_too_slow(patience, 0, 0)
        assert not pace.is_reader_too_slow(patience, 9.9, 0)
        assert pace.is_reader_too_slow(patience, 10, taken) is is_slow
