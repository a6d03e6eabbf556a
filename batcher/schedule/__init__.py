"""When a site may be calculated and delivered to: off-peak windows, blackouts, and the job of each night."""
