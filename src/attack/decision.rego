# The grant of a case, as its harness translated it into data.grants, put into the gateway's own words.
package portcullis

default decision := {
	"allow": false,
	"reasons": [{"code": "no-grant", "text": "No grant covers this request.", "basis": "test"}],
}

decision := permission(grant) if {
	some grant in data.grants
	covers(grant)
}

permission(grant) := object.union(permitted(grant), grant.provenance)

permitted(grant) := {
	"allow": true,
	"reasons": [{"code": "grant", "text": "Covered by a grant.", "basis": "test"}],
	"patients": grant.patients,
	"types": grant.types,
	"withhold_labels": grant.withhold_labels,
	"includes": grant.includes,
	"page_cap": 100,
	"cache_seconds": 30,
}

covers(grant) if {
	input.client.id == grant.client
	input.client.purpose == grant.purpose
	input.request.interaction in grant.interactions
	input.time.today >= grant.from
	input.time.today <= grant.to
	count(grant.patients) > 0
	count(grant.types) > 0
}
