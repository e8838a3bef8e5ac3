-- A resend, and all that a new sink is told of the past, may be meant for one sink alone.

ALTER TABLE outbox ADD COLUMN sink TEXT;  -- NULL: for every sink
