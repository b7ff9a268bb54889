"""The port to the API server (:mod:`trimtab.kube.port`) and its adapters: the real one and one in memory."""
