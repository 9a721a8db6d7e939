"""The three specifications of the Open Container Initiative as typed words."""
