"""The SQL of an audit that compares more than one table with another.

``$1`` is the occurrence. Each gives ``subject``, ``detail`` and, on every row,
how many rows there are (``failed``); the caller orders and limits them.
"""

from __future__ import annotations

from typing import Final

# Every version of an order has exactly one event, and none has no order; versions count from 1.
HISTORY: Final = """
    SELECT replace(coalesce(o.id, e.order_id)::text, '-', '') AS subject,
           CASE WHEN o.id IS NULL THEN format('%s events of an order that is not there', e.events)
                ELSE format('version %s has %s events, the newest is %s',
                            o.version, coalesce(e.events, 0), e.newest) END AS detail,
           count(*) OVER () AS failed
    FROM (SELECT id, version FROM orders WHERE occurrence_id = $1) o
    FULL JOIN (SELECT order_id, count(*) AS events, max(version) AS newest
               FROM order_events WHERE occurrence_id = $1 GROUP BY order_id) e ON e.order_id = o.id
    WHERE (e.events IS DISTINCT FROM o.version OR e.newest IS DISTINCT FROM o.version)
      AND NOT EXISTS (SELECT FROM audit_in_flight f
                      WHERE f.order_id = coalesce(o.id, e.order_id))"""

SUMS: Final = """
    SELECT concat_ws('/', replace(order_id::text, '-', ''), posting) AS subject,
           format('its entries sum to %s', sum(amount)) AS detail,
           count(*) OVER () AS failed
    FROM ledger_entries WHERE occurrence_id = $1
    GROUP BY order_id, posting HAVING sum(amount) <> 0"""

# A number names one order or one ticket of the whole installation.
NUMBERS: Final = """
    SELECT number AS subject, 'another has this number too' AS detail, count(*) OVER () AS failed
    FROM (SELECT number FROM orders o
          WHERE occurrence_id = $1
            AND EXISTS (SELECT FROM orders x WHERE x.number = o.number AND x.id <> o.id)
          UNION ALL
          SELECT number FROM tickets t
          WHERE occurrence_id = $1
            AND EXISTS (SELECT FROM tickets x WHERE x.number = t.number AND x.id <> t.id)) n"""

# The provider's money is known, as it is now, and none of it is kept for nothing.
CAPTURED: Final = """
    SELECT i.id AS subject, d.detail, count(*) OVER () AS failed
    FROM (SELECT *, CASE WHEN order_id ~ '^[0-9a-f]{32}$' THEN order_id::uuid END AS of_order
          FROM audit_intents
          WHERE occurrence_id = replace($1::uuid::text, '-', '') AND captured > 0) i
    LEFT JOIN orders o ON o.occurrence_id = $1 AND o.id = i.of_order
    LEFT JOIN payments p ON p.occurrence_id = o.occurrence_id AND p.order_id = o.id
    LEFT JOIN audit_money m ON m.order_id = i.of_order AND m.intent = i.id
    CROSS JOIN LATERAL (SELECT CASE
        WHEN m.intent IS NULL AND i.captured > i.refunded
            THEN format('%s were captured and %s given back, and %s', i.captured, i.refunded,
                        CASE WHEN o.id IS NULL THEN 'the order is not there'
                             ELSE 'the order, which is ' || o.state || ', does not know of it' END)
        WHEN o.id IS NULL AND i.captured > i.refunded
            THEN format('%s were captured, and PostgreSQL has no such order', i.captured)
        WHEN m.own AND p.intent <> i.id
            THEN format('PostgreSQL has intent %s for its order', p.intent)
        WHEN m.captured <> i.captured
            THEN format('%s were captured, the provider says %s', m.captured, i.captured)
        WHEN m.given_back <> i.refunded
            THEN format('%s were given back, the provider says %s', m.given_back, i.refunded)
        WHEN i.disputed AND m.dispute = ''
            THEN 'it is disputed at the provider, and the order does not know of it'
        WHEN m.refund_state NOT IN ('owed', 'pending', 'failed')
             AND NOT (m.own AND m.state = 'confirmed')
             AND m.captured > m.given_back + m.elsewhere + m.withdrawn
            THEN format('%s of %s are kept for an order that is %s',
                        m.captured - m.given_back - m.elsewhere - m.withdrawn, m.captured, m.state)
        END AS detail) d
    WHERE d.detail IS NOT NULL
      AND NOT EXISTS (SELECT FROM audit_in_flight f WHERE f.order_id = i.of_order)"""

# What PostgreSQL says of an order's money, the provider says too.
RECORDED: Final = """
    SELECT replace(o.id::text, '-', '') AS subject, d.detail, count(*) OVER () AS failed
    FROM orders o
    LEFT JOIN payments p ON p.occurrence_id = o.occurrence_id AND p.order_id = o.id
    LEFT JOIN audit_money m ON m.order_id = o.id AND m.own
    LEFT JOIN audit_intents i ON i.id = p.intent
    CROSS JOIN LATERAL (SELECT CASE
        WHEN o.state = 'confirmed' AND coalesce(p.captured, 0) <> o.total
            THEN format('it is confirmed for %s, and %s were captured', o.total, p.captured)
        WHEN p.captured > 0 AND i.id IS NULL
            THEN format('the provider does not know its intent %s', p.intent)
        WHEN p.captured > 0 AND p.captured <> i.captured
            THEN format('%s were captured, the provider says %s', p.captured, i.captured)
        WHEN p.captured > 0
             AND i.refunded <> p.refunded + p.refunding - coalesce(m.elsewhere, 0)
            THEN format('%s were given back, the provider says %s',
                        p.refunded + p.refunding - coalesce(m.elsewhere, 0), i.refunded)
        WHEN o.state IN ('cancelled', 'refunded') AND i.status IN ('open', 'processing')
            THEN format('it is %s and can still be paid', o.state)
        END AS detail) d
    WHERE o.occurrence_id = $1 AND d.detail IS NOT NULL
      AND NOT EXISTS (SELECT FROM audit_in_flight f WHERE f.order_id = o.id)"""

# The name of a check, the table that it looks through, its statement.
CHECKS: Final = (
    ("history", "order_events", HISTORY),
    ("numbers", "orders", NUMBERS),
    ("ledger sums", "ledger_entries", SUMS),
    ("captured money", "payments", CAPTURED),
    ("recorded money", "payments", RECORDED),
)

# Money that is owed since before ``$2``, or for which a person must look.
OWED: Final = """
    SELECT concat_ws('/', replace(m.order_id::text, '-', ''), m.intent) AS subject,
           CASE WHEN m.refund_state = 'failed'
                THEN format('%s could not be given back: see `onsale refunds`', d.due)
                ELSE format('%s are owed since %s', d.due, o.changed_at) END AS detail,
           count(*) OVER () AS failed
    FROM audit_money m
    JOIN orders o ON o.occurrence_id = $1 AND o.id = m.order_id
    CROSS JOIN LATERAL (SELECT m.captured - m.given_back - m.elsewhere - m.withdrawn AS due) d
    WHERE m.refund_state = 'failed' OR (m.refund_state = 'owed' AND o.changed_at < $2)"""

TOTALS: Final = """
    SELECT (SELECT count(*) FROM orders WHERE occurrence_id = $1) AS orders,
           (SELECT count(*) FROM tickets WHERE occurrence_id = $1 AND status = 'valid') AS tickets,
           (SELECT count(*) FROM queue_events WHERE occurrence_id = $1) AS queue_events,
           coalesce(sum(captured + others_captured), 0)::int8 AS captured,
           coalesce(sum(refunded + others_captured - others_due), 0)::int8 AS refunded,
           coalesce(sum(refund_due + refunding + others_due), 0)::int8 AS owed,
           coalesce(sum(withdrawn), 0)::int8 AS withdrawn
    FROM payments WHERE occurrence_id = $1"""
