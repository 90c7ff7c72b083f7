# The sweep `{{ name }}` with make, on one machine: {{ cases|length }} cases. `-j8` runs as many at once as the sweep's schedule lets.
#
# Run it, in this folder:    make -j8
# One case:                  make {{ cases[0].folder }}
# Continue after anything:   make again; what is done is left alone
# Written by:                {{ made_by }}

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
export PATH := {{ tools|make }}:$(PATH)

.PHONY: all tables{% for c in cases %} {{ c.folder }}{% endfor %}

all: tables
# A case that fails is a row of the tables, not the end of the sweep.
tables:{% for c in cases %} {{ c.folder }}{% endfor %}

	ekp-collect-timings .
{% for c in cases %}
{{ c.folder }}:{% if c.before %} | {{ c.before|join(" ") }}{% endif %}

	-ekp-launch -q {{ c.folder }} --on {{ c.on }} --workers {{ c.workers }} --threads {{ c.threads }} >/dev/null
{% endfor %}
