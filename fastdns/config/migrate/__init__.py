"""From a kube-dns pod to a Corefile: its manifests (pod), what its arguments and keys mean (plan), and the text (writing)."""
