"""The port to the API server (:mod:`trimtab.kube.port`) and its adapter, the client."""
