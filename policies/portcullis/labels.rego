# Labels: security labels that are withheld from every payer; `data/labels.json` says on what basis.
package portcullis

withheld_labels contains label if {
	some group in data.withheld_labels
	group.system
	some code in group.codes
	label := sprintf("%s|%s", [group.system, code])
}
